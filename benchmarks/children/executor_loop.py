"""The generated project's own training, `executor.train.train`, with everything on."""

import json
from pathlib import Path

from configs.loading import load_config
from executor.train import train
from workload import MODELS, Workload

_ENDLESS = 10**6  # steps and epochs: more than anyone measures, so that the training never ends


def main() -> None:
    """Train with the generated defaults, but for the data, the model and the length."""
    work = Workload.given()
    config = {
        "run": {"dir": f"{work.folder}/run"},
        "data": {
            "source": {"target": "workload:Arrays", "side": work.side, "samples": work.samples},
            "image_size": work.side,
            "transforms": [],
        },
        "model": {"target": f"workload:{MODELS[work.model].__name__}", **work.arguments},
        "train": {
            "epochs": _ENDLESS,
            "batch_size": work.batch,
            "optimizer": {"target": work.optimizer},
            "checkpoint_every": work.checkpoint_every,
            "evaluate_every": _ENDLESS,  # the other loops do not evaluate either
        },
        "executor": {
            "precision": work.precision,
            "channels_last": work.tuned,
            "threads": work.threads,
        },
    }
    path = Path(work.folder, "workload.yaml")
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML too
    train(load_config(str(path)))


if __name__ == "__main__":
    main()
