"""Large images are read in windows, judged at full size, and predicted whole."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataloader.cache import decode
from dataloader.decoded import DecodeOptions
from dataloader.sources.folder import Folder
from dataloader.sources.windows import WindowedPairs
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of six images of 100 x 150 pixels and their masks."""
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for number in range(6):
        mask = np.zeros((150, 100), np.uint8)
        mask[number * 20 : number * 20 + 30, 35:70] = 1
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number}.png")
        Image.fromarray(mask * 200 + 20).save(tmp_path / "data" / "images" / f"{number}.png")
    return tmp_path / "data"


@pytest.mark.parametrize(("fit", "each"), [("windows", 12), ("crop", 2), ("pad", 1)])
def test_every_pixel_is_judged_once(root: Path, fit: str, each: int) -> None:
    source = Folder(str(root), ["a", "b"], image_size=48, framing=fit, validation=0.5)
    validation, training = source.split("validation"), source.split("train")
    assert len(validation) % each == 0
    names = {validation.name(index).split(" #")[0] for index in range(len(validation))}
    assert len(names) == len(validation) // each
    masks = np.stack([validation.read(index)["mask"] for index in range(len(validation))])
    height, width = {"windows": (150, 100), "crop": (72, 48), "pad": (48, 32)}[fit]
    assert (masks != 255).sum() == len(names) * height * width
    found = decode(training, source.spec, DecodeOptions()).fields
    assert found["image"].shape == (len(training), 48, 48, 3)
    if fit == "windows":
        assert (found["mask"] != 255).all()  # whole windows are learned from
        bright = found["image"][..., 0] == 220
        np.testing.assert_array_equal(bright, found["mask"] == 1)


def test_an_image_is_decoded_once_for_all_its_windows(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Folder(str(root), ["a", "b"], image_size=48, framing="windows", validation=0.5)
    split = source.split("train")
    assert isinstance(split, WindowedPairs)
    reads: list[int] = []
    whole = split._pairs.read_whole

    def counted(pair: int) -> Any:
        reads.append(pair)
        return whole(pair)

    monkeypatch.setattr(split._pairs, "read_whole", counted)
    decoded = decode(split, source.spec, DecodeOptions())
    for index in np.random.default_rng(0).permutation(len(split)):
        decoded.take(np.array([index]))
    assert sorted(reads) == list(range(len(split) // 12))


@pytest.mark.parametrize("fit", ["windows", "pad"])
def test_a_damaged_image_is_one_bad_sample(root: Path, fit: str) -> None:
    (root / "images" / "2.png").write_bytes(b"")
    source = Folder(str(root), ["a", "b"], image_size=48, framing=fit, validation=0.0)
    split = source.split("train")
    with pytest.raises(UserError, match=r"2\.png: not a readable image"):
        decode(split, source.spec, DecodeOptions()).take(np.arange(len(split)))
    kept = decode(split, source.spec, DecodeOptions(may_skip=1)).names
    assert {name.split(" #")[0] for name in kept} == {"0", "1", "3", "4", "5"}


@pytest.mark.parametrize("fit", ["windows", "crop", "pad"])
@pytest.mark.usefixtures("without_report")
def test_training_evaluation_and_prediction_work_by_settings_alone(
    root: Path, tmp_path: Path, fit: str
) -> None:
    target = "dataloader.sources.folder:Folder"
    source = f"root: {root}, class_names: [a, b], image_size: 48, validation: 0.5, framing: {fit}"
    words = [f"data.source={{target: {target}, {source}}}", f"run.dir={tmp_path / 'run'}"]
    words += ["train.optimizer.learning_rate=0.02", "train.max_steps=60", "train.epochs=100"]
    words += ["train.checkpoint_every=60", "run.tensorboard=false"]
    main(["train", "--config", TINY, *words])
    values = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert values["mean_iou"] > 0.95
    out = tmp_path / "out"
    main(["predict", str(tmp_path / "run"), str(root / "images"), "--output", str(out)])
    for number in range(6):
        with Image.open(out / f"{number}_mask.png") as found:
            mask = np.asarray(found)
        with Image.open(root / "masks" / f"{number}.png") as truth:
            assert (mask == np.asarray(truth)).mean() > 0.95
