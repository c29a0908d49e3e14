"""Files of weights in the framework's form."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from executor.devices.tensors import tensors_of
from model.mobilenet_v2 import MobileNetV2


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A file with Keras' names, and what a run that begins with it has in its own."""
    path = tmp_path / "mobilenet_v2.safetensors"
    weights = tensors_of(MobileNetV2())
    save_file({**weights, "Conv_1/kernel": np.zeros((1, 1, 320, 1280), np.float32)}, path)
    return path, {f"encoder/{name}": array for name, array in weights.items()}


@pytest.fixture
def unrelated(tmp_path: Path) -> Path:
    """A file with the weights of something else."""
    path = tmp_path / "other.safetensors"
    save_file({"fc/kernel": np.zeros(1, np.float32)}, path)
    return path
