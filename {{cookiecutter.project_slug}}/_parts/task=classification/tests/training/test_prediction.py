"""What a trained model says about images: files, and arrays for notebooks and services."""

import csv
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


def test_prediction_writes_a_table_and_an_overview(trained: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a photo, of 漢.png", tmp_path / "b.jpg"]
    for file, mode in zip(files, ("RGBA", "L"), strict=True):
        Image.new(mode, (50, 70), 99).save(file)
    words = ["predict", str(trained), *map(str, files), "--output", str(tmp_path / "out")]
    main(words)
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["file"] for row in rows] == [str(file) for file in files]
    for row in rows:
        shares = [float(row[f"probability_{digit}"]) for digit in range(10)]
        assert sum(shares) == pytest.approx(1.0, abs=1e-5)
        assert row["label"] == str(int(np.argmax(shares)))
    with Image.open(tmp_path / "out" / "overview.png") as picture:
        assert picture.width > picture.height / 2 > 50


def test_predictions_are_arrays(trained: Path) -> None:
    predictor = load(str(trained))
    images = np.random.default_rng(0).integers(0, 256, (9, 20, 30, 1), dtype=np.uint8)
    labels, probabilities = predictor.predict(images), predictor.probabilities(images)
    assert labels.shape == (9,)
    assert labels.dtype == np.int32
    assert probabilities.shape == (9, 10)
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(labels, probabilities.argmax(1))
    with pytest.raises(UserError, match=r"received float64 \[9, 20, 30, 1\], expected uint8"):
        predictor.predict(images / 255)
    with pytest.raises(UserError, match="expected uint8"):
        predictor.predict(images[0])
