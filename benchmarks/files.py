"""How long people wait for their files: before the first step, and for predictions."""

import os
import statistics
import time
from pathlib import Path

from data import child
from effort import Effort
from places import Places
from processes import usage_of
from results import Row

_PREDICT, _FIRST_STEP = 3.5, 3.0  # what is wanted: times a bare script; seconds
_CLASSES = ("object", "background", "border")


def predict_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare `main.py predict` with a script that takes one file after the other."""
    root = places.fresh_folder("images") / "root"
    child(places, "made_up_images.py", str(root), str(max(effort.files // 10, 8)))
    run = places.fresh_folder("predict") / "run"
    _train(places, root, run, "train.max_steps=1", "train.batch_size=4")
    rounds: dict[str, list[float]] = {"bare": [], "project": []}
    for _ in range(effort.repetitions):
        for name, rates in rounds.items():
            output = places.fresh_folder("predicted")
            words = (str(run), str(root / "images"), str(output))
            found = child(places, f"predict_{name}.py", *words)
            rates.append(round(found["images"] / found["seconds"], 1))
    ratios = [a / b for a, b in zip(rounds["project"], rounds["bare"], strict=True)]
    return [
        Row(
            "predict.speed",
            "images/s of `predict` / a script that takes one file after the other",
            value=statistics.median(ratios),
            limit=_PREDICT,
            better="higher",
            details={"images a second": rounds},
        )
    ]


def many_files_rows(places: Places, effort: Effort) -> list[Row]:
    """Measure when the first step of a training from many files is done."""
    root = places.fresh_folder("images") / "root"
    child(places, "made_up_images.py", str(root), "16")
    many = places.fresh_folder("many")
    for folder in ("images", "masks"):
        (many / folder).mkdir()
        files = sorted((root / folder).iterdir())
        for number in range(effort.files * 4):
            file = files[number % len(files)]
            os.link(file, many / folder / f"{number:06d}{file.suffix}")
    seconds = []
    for number in range(effort.repetitions):
        run = places.fresh_folder("first") / f"run{number}"
        began = time.perf_counter()
        _train(places, many, run, "model.target=first_step:FirstStepUNet")
        seconds.append(round(time.perf_counter() - began, 2))
    return [
        Row(
            "files.first-step",
            f"seconds until the first step of a training from {effort.files * 4:,} pairs is done",
            value=statistics.median(seconds),
            limit=_FIRST_STEP,
            details={"seconds": seconds},
        )
    ]


def _train(places: Places, root: Path, run: Path, *words: str) -> None:
    source = f"{{target: dataloader.sources.folder:Folder, root: {root}, class_names: "
    source += f"[{', '.join(_CLASSES)}], image_size: 128}}"
    line: list[str | Path] = [places.python, "main.py", "train", f"run.dir={run}", *words]
    line += [f"data.source={source}", f"data.cache_dir={run.parent / 'cache'}"]
    usage_of(line, places.project, places.environment())
