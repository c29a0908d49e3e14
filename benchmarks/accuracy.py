"""What the default training reaches and costs. Each takes a minute or more."""

import json
import statistics
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from effort import Effort
from places import Places
from processes import usage_of
from results import Row

# What is wanted: of mean IoU, half a point between precisions and two between frameworks.
_MOST_OF_PRECISION, _MOST_OF_FRAMEWORK = 0.005, 0.02
_LEAST_IOU, _MOST_SECONDS = 0.80, 150.0


@dataclass(frozen=True)
class Training:
    """What one training came to."""

    mean_iou: float
    cpu: float
    """Seconds of the whole process, from its start to the report."""


@cache
def training(places: Places, effort: Effort, seed: int, precision: str = "auto") -> Training:
    """Train once with the defaults; asked for again, return what was found."""
    run = places.fresh_folder("accuracy") / "run"
    words = [f"run.seed={seed}", f"executor.precision={precision}", f"run.dir={run}"]
    if effort.is_quick:
        words += ["--config", "configs/debug.yaml"]
    command: list[str | Path] = [places.python, "main.py", "train", *words]
    used = usage_of(command, places.project, places.environment())
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return Training(mean_iou=round(metrics["mean_iou"], 5), cpu=round(used.cpu, 2))


def precision_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare the mean IoU of the default training in bf16 and in fp32, over several seeds."""
    found = {
        precision: [
            training(places, effort, seed, precision).mean_iou for seed in range(effort.trainings)
        ]
        for precision in ("bf16", "fp32")
    }
    return [
        Row(
            "accuracy.bf16",
            "mean IoU of the default training: fp32 minus bf16, the mean over seeds",
            value=statistics.mean(found["fp32"]) - statistics.mean(found["bf16"]),
            limit=_MOST_OF_PRECISION,
            details={"mean IoU": found},
        )
    ]


def default_rows(places: Places, effort: Effort) -> list[Row]:
    """Measure what the default training reaches, and the CPU time that it takes."""
    found = [training(places, effort, seed) for seed in range(effort.trainings)]
    values, seconds = [each.mean_iou for each in found], [each.cpu for each in found]
    return [
        Row(
            "accuracy.mean-iou",
            "mean IoU of the default training, the lowest of several seeds",
            value=min(values),
            limit=_LEAST_IOU,
            better="higher",
            details={"mean IoU": values},
        ),
        Row(
            "accuracy.cpu",
            "CPU seconds of the default training from start to report, the most of several seeds",
            value=max(seconds),
            cpu=max(seconds),
            limit=_MOST_SECONDS,
            details={"CPU seconds": seconds},
        ),
    ]


def framework_rows(places: Places, effort: Effort, other: Places) -> list[Row]:
    """Compare two frameworks' mean IoU from the same seeds and configuration."""
    found = {
        each.framework: [training(each, effort, seed) for seed in range(effort.trainings)]
        for each in (places, other)
    }
    values = {name: [each.mean_iou for each in runs] for name, runs in found.items()}
    seconds = {name: [each.cpu for each in runs] for name, runs in found.items()}
    difference = statistics.mean(values[places.framework]) - statistics.mean(
        values[other.framework]
    )
    return [
        Row(
            "frameworks.mean-iou",
            f"mean IoU of the default training: {places.framework} minus {other.framework}, "
            "the mean over seeds, without sign",
            value=abs(difference),
            limit=_MOST_OF_FRAMEWORK,
            details={"mean IoU": values, "CPU seconds": seconds},
        )
    ]
