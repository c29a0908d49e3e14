"""What tests need of the framework: files of weights, a model for which memory runs out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from executor.launch.processes import free_ports
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


@pytest.fixture
def addresses() -> str:
    """Where two launchers on this machine find each other."""
    return f"127.0.0.1:{free_ports(1)[0]}"


GREEDY = """
import torch
from torch import nn


class Greedy(nn.Conv2d):
    \"\"\"Asks for 400 TB where it sees more images at once than it can bear.\"\"\"

    def __init__(self, num_classes, most, most_judged=1000):
        super().__init__(3, num_classes, 1)
        self._most, self._most_judged = most, most_judged

    def forward(self, images):
        if len(images) > (self._most if self.training else self._most_judged):
            torch.empty(10**14)
        return super().forward(images)
"""


@pytest.fixture
def greedy_code() -> str:
    """A model for which memory runs out: Greedy(num_classes, most, most_judged)."""
    return GREEDY
