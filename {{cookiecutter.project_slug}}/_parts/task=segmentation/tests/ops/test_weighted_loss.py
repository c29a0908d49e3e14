"""A loss is that of all pixels, however a split is cut into batches."""

import numpy as np
import pytest
from PIL import Image

from configs.loading import load
from executor.distributed.world import World
from executor.training.trainer import Trainer
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the settings of a folder of images; their pixels are ignored to different parts."""
    root = tmp_path_factory.mktemp("partly_ignored")
    for part in ("images", "masks"):
        (root / part).mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 2, (16, 16), dtype=np.uint8)
        pixels[: 4 * (number % 4)] = 9
        Image.fromarray(pixels).save(root / "masks" / f"{number}.png")
        Image.fromarray(pixels * 20).save(root / "images" / f"{number}.png")
    target = "dataloader.sources.folder:Folder"
    classes = "class_names: [a, b], mask_values: [0, 1], ignore_value: 9"
    return f"{{target: {target}, root: {root}, {classes}, image_size: 16, validation: 0.5}}"


@pytest.mark.parametrize(
    "loss",
    [
        "cross_entropy",
        "{target: cross_entropy, class_weights: [1.0, 4.0], label_smoothing: 0.1}",
        "dice",
        "{target: cross_entropy_dice, class_weights: [1.0, 4.0]}",
    ],
)
def test_a_validation_loss_does_not_depend_on_the_batch_size(loss: str, source: str) -> None:
    found = []
    for size in (1, 2, 5):
        words = [f"train.batch_size={size}", f"train.loss={loss}", f"data.source={source}"]
        trainer = Trainer(load(TINY, [*words, "executor.precision=fp32"]).cfg)
        trainer.setup(World())
        found.append(trainer.validator.evaluate_part(trainer.state.eval_model)["loss"])
    assert found[0] > 0
    assert found[1:] == pytest.approx([found[0]] * 2, rel=1e-6)
