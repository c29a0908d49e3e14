"""What TensorFlow does not refuse in batch normalisation is told."""

from pathlib import Path

import numpy as np
import pytest

from main import main
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")


@pytest.mark.usefixtures("without_report")
def test_a_level_of_one_pixel_needs_more_than_one_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = "model.widths=[4, 4, 4, 4, 4, 4]"  # halves the size of the images to a single pixel
    words = ["train", "--config", TINY, f"run.dir={tmp_path / 'run'}", deep, "train.max_steps=1"]
    values = main([*words, "train.accumulate=4", "run.tensorboard=false"])
    assert np.isfinite(values["loss"])
    assert "sees one sample at a time: raise train.batch_size" in capsys.readouterr().err
