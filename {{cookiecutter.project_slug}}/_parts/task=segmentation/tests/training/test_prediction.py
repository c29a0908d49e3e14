"""What a trained model says about images: files, and arrays for notebooks and services."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from executor.inference.load import load
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

TINY = str(PROJECT / "tests" / "tiny.yaml")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    main(["train", "--config", TINY, f"run.dir={run}", "run.tensorboard=false"])
    return run


def test_prediction_writes_masks_at_the_size_of_the_image(trained: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    main(["predict", str(trained), str(tmp_path / "photo.png"), "--output", str(tmp_path / "out")])
    with Image.open(tmp_path / "out" / "photo_mask.png") as mask:
        assert mask.size == (70, 50)
        assert np.asarray(mask).max() < 3
    with Image.open(tmp_path / "out" / "photo_overlay.png") as overlay:
        assert overlay.size == (70, 50)


def test_predictions_are_arrays(trained: Path) -> None:
    predictor = load(str(trained))
    images = np.random.default_rng(0).integers(0, 256, (9, 20, 30, 3), dtype=np.uint8)
    masks, probabilities = predictor.predict(images), predictor.probabilities(images)
    assert masks.shape == (9, 20, 30)
    assert masks.dtype == np.uint8
    assert probabilities.shape == (9, len(predictor.task.class_names), 32, 32)
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)
    square = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        predictor.predict(square), predictor.probabilities(square).argmax(1)
    )
    with pytest.raises(UserError, match=r"received float64 \[2, 32, 32, 3\], expected uint8"):
        predictor.predict(square / 255)
    with pytest.raises(UserError, match="expected uint8"):
        predictor.predict(square[0])


def test_a_folder_of_inputs_is_no_output(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.ppm", "._a.png"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "x.png").mkdir()
    with pytest.raises(UserError, match="is a folder of inputs"):
        main(["predict", str(trained), str(tmp_path), "--output", str(tmp_path)])
    main(["predict", str(trained), str(tmp_path), "--output", str(tmp_path / "out")])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{name}_{kind}.png" for name in "ab" for kind in ("mask", "overlay")}
    assert "not predicted: 1 ending in .txt" in capsys.readouterr().err


def test_predicted_masks_hold_the_values_of_the_masks_that_were_learned(tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for number in range(6):
        mask = np.zeros((16, 16), np.uint8)
        mask[:, 8:] = 255
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number}.png")
        Image.fromarray(mask // 2 + 20).save(tmp_path / "data" / "images" / f"{number}.png")
    source = (
        f"root: {tmp_path / 'data'}, class_names: [a, b], mask_values: [0, 255], image_size: 16"
    )
    source = f"data.source={{target: dataloader.sources.folder:Folder, {source}, channels: 1}}"
    words = [f"run.dir={tmp_path / 'run'}", "data.transforms=[]", "train.max_steps=30", source]
    words += ["train.epochs=30", "train.schedule=constant", "train.optimizer.learning_rate=0.05"]
    main(["train", "--config", TINY, *words, "run.tensorboard=false"])
    image = str(tmp_path / "data" / "images" / "0.png")
    main(["predict", str(tmp_path / "run"), image, "--output", str(tmp_path / "out")])
    with Image.open(tmp_path / "out" / "0_mask.png") as predicted:
        assert predicted.mode == "P"
        assert (np.asarray(predicted) == mask).mean() > 0.9


def test_a_prediction_that_was_stopped_goes_on(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(9):
        (tmp_path / "in" / f"p{number % 2}").mkdir(parents=True, exist_ok=True)
        path = tmp_path / "in" / f"p{number % 2}" / f"{number}.png"
        Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
    last = tmp_path / "in" / "p1" / "7.png"
    whole = last.read_bytes()
    last.write_bytes(b"")
    out = tmp_path / "out"
    words = ["predict", str(trained), str(tmp_path / "in"), "--output", str(out), "--recursive"]
    with pytest.raises(UserError, match=r"7\.png: not a readable image"):
        main(words)
    record = out / ".predicting.jsonl"
    done = {json.loads(line) for line in record.read_text().splitlines()[1:]}
    assert done
    assert done < {f"p{number % 2}/{number}" for number in range(9)}
    before = {name: (out / f"{name}_mask.png").stat().st_mtime_ns for name in done}
    last.write_bytes(whole)
    capsys.readouterr()
    main(words)
    assert f"goes on   {len(done)} of 9 files" in capsys.readouterr().err
    names = {str(path.relative_to(out)) for path in out.rglob("*_mask.png")}
    assert names == {f"p{number % 2}/{number}_mask.png" for number in range(9)}
    assert all((out / f"{n}_mask.png").stat().st_mtime_ns == t for n, t in before.items())
    assert not record.exists()
    main(words)  # a finished one is done anew
    assert "goes on" not in capsys.readouterr().err
    with pytest.raises(UserError, match=r"not taken: what is in 2 folders here \(--recursive"):
        main(words[:-1])
