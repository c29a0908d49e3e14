"""What a trained model says about images: files, and arrays for notebooks and services."""

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
