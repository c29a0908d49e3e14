"""What PyTorch refuses in batch normalisation is one message."""

from pathlib import Path

import pytest

from main import main
from utils.errors import UserError
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")


def test_a_level_of_one_pixel_needs_more_than_one_sample(tmp_path: Path) -> None:
    deep = "model.widths=[4, 4, 4, 4, 4, 4]"  # halves the size of the images to a single pixel
    words = ["train", "--config", TINY, f"run.dir={tmp_path / 'run'}", deep, "train.max_steps=1"]
    with pytest.raises(UserError, match=r"single value a channel .*Raise train\.batch_size"):
        main([*words, "train.accumulate=4"])
