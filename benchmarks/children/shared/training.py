"""The configuration of the generated project's own training that takes part in a comparison."""

import json
from pathlib import Path

from configs.loading import load_config
from configs.schema import CFG
from work import Work

_ENDLESS = 10**6  # steps and epochs: more than anyone measures, so that the training never ends


def configuration(work: Work, model: str, **executor: object) -> CFG:
    """Return the generated defaults, but for the data, the model and the length.

    Args:
        work: What is trained.
        model: The target of the model.
        **executor: Further settings of that section.
    """
    config = {
        "run": {"dir": f"{work.folder}/run"},
        "data": {
            "source": {"target": "arrays:Arrays", "side": work.side, "samples": work.samples},
            "transforms": [],
        },
        "model": {"target": model, **work.arguments},
        "train": {
            "epochs": _ENDLESS,
            "batch_size": work.batch,
            "optimizer": {"target": work.optimizer},
            "checkpoint_every": work.checkpoint_every,
            "evaluate_every": _ENDLESS,  # the other loops do not evaluate either
        },
        "executor": {"precision": work.precision, "threads": work.threads, **executor},
    }
    path = Path(work.folder, "workload.yaml")
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML too
    return load_config(str(path))
