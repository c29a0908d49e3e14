"""Files of weights in the framework's form."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.mobilenet_v2 import MobileNetV2


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A file in torchvision's form, and what a run that begins with it has in its own."""
    path = tmp_path / "mobilenet_v2.pth"
    weights = MobileNetV2().state_dict()
    torch.save({**weights, "classifier.1.weight": torch.zeros(1000, 1280)}, path)
    return path, {f"encoder.{name}": tensor.numpy() for name, tensor in weights.items()}


@pytest.fixture
def unrelated(tmp_path: Path) -> Path:
    """A file with the weights of something else."""
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(1)}, path)
    return path
