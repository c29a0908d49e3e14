"""Whether bf16 costs quality: the default training in both precisions. Takes minutes."""

import json
import statistics
from pathlib import Path

from effort import Effort
from places import Places
from processes import usage_of
from results import Row

_MOST = 0.005  # of mean IoU: half a point


def accuracy_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare the mean IoU of the default training in bf16 and in fp32, over several seeds."""
    found: dict[str, list[float]] = {"bf16": [], "fp32": []}
    for seed in range(effort.trainings):
        for precision, values in found.items():
            run = places.fresh_folder(f"accuracy-{precision}") / "run"
            words = [f"run.seed={seed}", f"executor.precision={precision}", f"run.dir={run}"]
            if effort.is_quick:
                words += ["--config", "configs/debug.yaml"]
            command: list[str | Path] = [places.python, "main.py", "train", *words]
            usage_of(command, places.project, places.environment())
            metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
            values.append(round(metrics["mean_iou"], 5))
    return [
        Row(
            "accuracy.bf16",
            "mean IoU of the default training: fp32 minus bf16, the mean over seeds",
            value=statistics.mean(found["fp32"]) - statistics.mean(found["bf16"]),
            limit=_MOST,
            details={"mean IoU": found},
        )
    ]
