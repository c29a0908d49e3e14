"""Images of six bands, by settings alone: trained, evaluated, predicted and shown."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from main import main
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")


def test_six_bands_by_settings_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(24):
        mask = np.kron(random.integers(0, 2, (4, 4), np.uint8), np.ones((4, 4), np.uint8))
        image = random.integers(0, 256, (16, 16, 6), np.uint8)
        image[..., 4] = 40 + 160 * mask  # the only one that tells
        np.save(tmp_path / "images" / f"{number}.npy", image)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    run = tmp_path / "run"
    source = f"{{target: dataloader.sources.folder:Folder, root: {tmp_path}, channels: 6, "
    source += "class_names: [dark, bright], image_size: 16}"
    main(
        [
            *("train", "--config", TINY, f"run.dir={run}", f"data.source={source}"),
            *("task.shown_channels=[4,1,0]", "train.epochs=40", "train.max_steps=120"),
            *("model.widths=[8]", "data.transforms=[flip]"),
        ]
    )
    main(["evaluate", str(run), "--split", "validation"])
    values = json.loads((run / "metrics-validation.json").read_text(encoding="utf-8"))
    assert values["mean_iou"] > 0.95
    assert (run / "samples.png").exists()
    output = tmp_path / "predicted"
    main(["predict", str(run), str(tmp_path / "images"), "--output", str(output)])
    hits = [
        np.asarray(Image.open(output / f"{number}_mask.png"))
        == np.asarray(Image.open(tmp_path / "masks" / f"{number}.png"))
        for number in range(24)
    ]
    assert np.mean(hits) > 0.95
    overlay = np.asarray(Image.open(output / "0_overlay.png")).astype(float)
    image = np.load(tmp_path / "images" / "0.npy")
    shown = np.corrcoef(overlay[..., 1].ravel(), image[..., 1].ravel())[0, 1]
    assert shown > 0.5  # the second colour is the second band
