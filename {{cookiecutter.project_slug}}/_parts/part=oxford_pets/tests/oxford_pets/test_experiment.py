"""The original experiment, on a handful of made-up pets in the official layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from main import main
from utils.errors import UserError
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

CONFIG = str(PROJECT / "configs" / "oxford_pets.yaml")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    random = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "annotations" / "trimaps").mkdir(parents=True)
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for number in range(10):
        name = f"Abyssinian_{number}"
        lists["trainval" if number < 4 else "test"].append(f"{name} 1 1 1")
        pixels = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        trimap = random.integers(1, 4, (40, 50), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.jpg")
        Image.fromarray(trimap).save(root / "annotations" / "trimaps" / f"{name}.png")
    for name, lines in lists.items():
        (root / "annotations" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return root


def words(run: Path, pets: Path, *overrides: str) -> list[str]:
    small = ("train.batch_size=2", "train.max_steps=1", "run.tensorboard=false")
    data = (f"data.source.root={pets}", "data.source.download=false")
    return ["train", "--config", CONFIG, f"run.dir={run}", *data, *small, *overrides]


def test_it_trains_with_a_frozen_encoder_from_a_file(
    published: tuple[Path, dict[str, np.ndarray]], pets: Path, tmp_path: Path
) -> None:
    weights, expected = published
    frozen = (f"model.weights={weights}", "model.freeze_encoder=true")
    values = main(words(tmp_path / "run", pets, *frozen, "model.up_widths=[8, 8, 8, 8]"))
    assert 0.0 <= values["accuracy"] <= 1.0
    exported = load_file(tmp_path / "run" / "model.safetensors")
    for name, array in expected.items():
        assert np.array_equal(exported[name], array), name
    weights.unlink()  # a run stands on its own once it has weights
    # Without a graph, which is made more slowly than a handful of images are judged.
    again = main(
        ["evaluate", str(tmp_path / "run"), "executor.eager=true", "--split", "validation"]
    )
    assert again == pytest.approx(values, abs=1e-4)


def test_training_judges_a_fifth_and_the_end_judges_all(pets: Path, tmp_path: Path) -> None:
    main(words(tmp_path / "run", pets, "model={target: model.unet:UNet, widths: [4]}"))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    during = [row for row in map(json.loads, lines) if row["split"] == "validation"]
    final = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert during[-1]["loss"] != final["loss"]


def test_weights_of_something_else_are_refused(unrelated: Path, pets: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not hold the weights of MobileNetV2"):
        main(words(tmp_path / "run", pets, f"model.weights={unrelated}"))
    assert not (tmp_path / "run").exists()
