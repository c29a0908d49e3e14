"""The same steps and a short training beside Lightning, Fabric, Accelerate and Ignite.

They live in an environment of their own (`make bench-others`), and keep their defaults.
"""

import statistics
from pathlib import Path

from effort import Effort
from loops import Loop, milliseconds, ratio, take_turns
from places import Places
from processes import usage_of
from results import Row
from step import SMALL_UNET, TINY_MLP

_MEMORY = 0.75  # what is wanted
_OTHERS = ("lightning", "fabric", "accelerate", "ignite")


def step_rows(places: Places, effort: Effort, python: Path) -> list[Row]:
    """Compare each with the bare loop: fp32 and PyTorch's default optimizers for all of them."""
    rows = []
    kinds = (
        ("unet-0.5M", {**SMALL_UNET, "optimizer": "adamw"}, effort.steps),
        ("tiny", {**TINY_MLP, "optimizer": "adam"}, effort.small_steps),
    )
    for kind, work, steps in kinds:
        loops = [Loop(places, "bare", "bare_loop.py", work)]
        tuned = {**work, "tuned": kind != "tiny"}  # channels_last is for convolutions
        loops.append(Loop(places, "executor", "executor_loop.py", tuned))
        if kind != "tiny":
            defaults = {**tuned, "precision": "auto"}
            loops.append(Loop(places, "executor-auto", "executor_loop.py", defaults))
        loops += [Loop(places, name, f"{name}_loop.py", work, python) for name in _OTHERS]
        rounds = take_turns(loops, effort.rounds, steps, effort.warmup)
        for loop in loops[1:]:
            found = [milliseconds(turns[loop.name]) for turns in rounds]
            rows.append(
                Row(
                    f"others.{kind}.{loop.name}",
                    f"step of {loop.name} / bare fp32 loop",
                    value=ratio(rounds, loop.name, "bare", "wall"),
                    cpu=ratio(rounds, loop.name, "bare", "cpu"),
                    details={"milliseconds a step": found},
                )
            )
    return rows


def memory_rows(places: Places, effort: Effort, python: Path) -> list[Row]:
    """Compare the peak memory of a short training: the sample, some steps, a validation."""
    peaks: dict[str, list[float]] = {"executor": [], "lightning": []}
    steps = effort.training_steps
    for _ in range(effort.repetitions):
        folder = places.fresh_folder("memory")
        words = ["main.py", "train", f"train.max_steps={steps}", f"run.dir={folder / 'run'}"]
        own: list[str | Path] = [places.python, *words]
        lightning: list[str | Path] = [python, places.child("lightning_training.py"), str(steps)]
        for name, command in (("executor", own), ("lightning", [*lightning, str(folder)])):
            used = usage_of(command, places.project, places.environment())
            peaks[name].append(round(used.memory, 1))
    ratios = [a / b for a, b in zip(peaks["executor"], peaks["lightning"], strict=True)]
    return [
        Row(
            "others.memory",
            "peak memory of a short training, report included / the same with Lightning",
            value=statistics.median(ratios),
            limit=_MEMORY,
            details={"MiB": peaks},
        )
    ]
