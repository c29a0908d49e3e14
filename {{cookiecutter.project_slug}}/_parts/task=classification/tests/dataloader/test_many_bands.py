"""Images of six bands, by settings alone: trained, evaluated, predicted and shown."""

import csv
import json
from pathlib import Path

import numpy as np

from main import main
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")


def test_six_bands_by_settings_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label, name in enumerate(("dark", "bright")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            image = random.integers(0, 256, (12, 12, 6), np.uint8)
            image[..., 4] = 40 + 160 * label  # the only one that tells
            np.save(tmp_path / "images" / name / f"{name}{number}.npy", image)
    run = tmp_path / "run"
    source = "{target: dataloader.sources.class_folders:ClassFolders, channels: 6, image_size: 12, "
    source += f"root: {tmp_path / 'images'}}}"
    main(
        [
            *("train", "--config", TINY, f"run.dir={run}", f"data.source={source}"),
            *("task.shown_channels=[4,1,0]", "train.epochs=40", "train.max_steps=100"),
        ]
    )
    main(["evaluate", str(run), "--split", "validation"])
    values = json.loads((run / "metrics-validation.json").read_text(encoding="utf-8"))
    assert values["accuracy"] > 0.9
    assert (run / "samples.png").exists()
    output = tmp_path / "predicted"
    words = ["--recursive", str(tmp_path / "images"), "--output", str(output)]
    main(["predict", str(run), *words])
    with (output / "predictions.csv").open(encoding="utf-8") as file:
        hits = [row["label"] in row["file"] for row in csv.DictReader(file)]
    assert len(hits) == 40
    assert np.mean(hits) > 0.9
    assert (output / "overview.png").exists()
