"""Images a second and peak memory on a GPU, beside a bare loop that was tuned by hand."""

import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from effort import Effort
from places import Places
from results import Row

_SPEED, _MEMORY = 0.97, 1.03  # what is wanted
_WARMUP, _STEPS = 60, 400  # two checkpoints at their default interval are among the steps
_IMAGES = 1024
_EXPERIMENTS: dict[str, dict[str, Any]] = {
    "sample": {"quick": ["data.source.image_size=16", "model.widths=[4, 8]"]},
    "pets": {
        "config": "configs/oxford_pets.yaml",
        "quick": ["data.source.image_size=32", "model.up_widths=[4, 4, 4, 4]"],
    },
}
_SAME = [
    "data.transforms=[]",
    "train.optimizer={target: adamw, learning_rate: 1e-3}",
    "train.schedule=constant",
]
_ON_GPU = ["executor.device=cuda", "executor.precision=bf16", "executor.compile=true"]
_QUICK = ["executor.device=cpu", "executor.precision=fp32", "train.batch_size=4"]
_KINDS = ("executor", "bare")


def has_gpu(python: Path) -> bool:
    """Return whether an interpreter's PyTorch finds a GPU."""
    if not python.is_file():
        return False
    code = "import torch; raise SystemExit(not torch.cuda.is_available())"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def gpu_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare trainings with the same settings: bf16, compiled, channels_last, fused AdamW."""
    rows = []
    for name, experiment in _EXPERIMENTS.items():
        work = _work(places, name, experiment, effort)
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in _KINDS}
        for number in range(effort.repetitions):
            for kind in _KINDS if number % 2 == 0 else reversed(_KINDS):
                found[kind].append(_report(places, f"{name}-{kind}", f"gpu_{kind}.py", work))
        speed, memory = (
            [a[what] / b[what] for a, b in zip(found["executor"], found["bare"], strict=True)]
            for what in ("images_per_second", "peak_mib")
        )
        rows += [
            Row(
                f"gpu.{name}.speed",
                "images/s of the executor / of a bare loop tuned by hand, same settings",
                value=statistics.median(speed),
                limit=None if effort.is_quick else _SPEED,
                better="higher",
                details=found,
            ),
            Row(
                f"gpu.{name}.memory",
                "peak memory of the same",
                value=statistics.median(memory),
                limit=None if effort.is_quick else _MEMORY,
                details=found,
            ),
        ]
    return rows


def _work(places: Places, name: str, experiment: dict[str, Any], effort: Effort) -> dict[str, Any]:
    """Return what both kinds of process are told."""
    words = [*_SAME, *(experiment["quick"] + _QUICK if effort.is_quick else _ON_GPU)]
    if name == "pets":
        root = places.fresh_folder("pets")
        count = 8 if effort.is_quick else _IMAGES
        command = [str(places.python), str(places.child("made_up_pets.py")), str(root), str(count)]
        subprocess.run(command, env=places.environment(), check=True)
        words += [f"data.source.root={root}", "data.source.download=false"]
    config = experiment.get("config")
    return {
        "config": config and str(places.project / config),
        "words": words,
        "warmup": 1 if effort.is_quick else _WARMUP,
        "steps": 2 if effort.is_quick else _STEPS,
    }


def _report(places: Places, name: str, script: str, work: dict[str, Any]) -> dict[str, float]:
    """Let a process train, and return what it says last.

    Raises:
        RuntimeError: If it failed; with what it printed.
    """
    folder = places.fresh_folder(name)
    told = json.dumps({**work, "folder": str(folder)})
    command = [str(places.python), str(places.child(script)), told]
    done = subprocess.run(
        command, cwd=folder, env=places.environment(), capture_output=True, text=True
    )
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-4000:]}")
    report: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return report
