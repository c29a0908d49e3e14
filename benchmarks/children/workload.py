"""What every loop trains: the same model on the same decoded arrays."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from model.unet import UNet
from torch import Tensor, nn
from turns import begin_step

CLASSES = ("object", "background", "border")
MEAN, STD = 127.5, 63.75  # of the bytes: the defaults of `data.mean` and `data.std` times 255


@dataclass(frozen=True)
class Workload:
    """One training, without saying who runs it."""

    model: str
    """`unet` or `tiny`."""
    arguments: dict[str, Any]
    """The model's own."""
    side: int
    """Of the square images, in pixels."""
    folder: str
    """An empty one to write to."""
    precision: str = "fp32"
    """`fp32` or `bf16`."""
    tuned: bool = False
    """Images as channels_last, and memory kept by malloc, as a generated project does."""
    optimizer: str = "adamw"
    """`adam` or `adamw`."""
    fused: bool = False
    """Take PyTorch's single kernel for the update, which is not its default on a CPU."""
    item: bool = True
    """Read the loss in every step, as most loops do to show it."""
    threads: int | None = None
    """Of one operation; None: PyTorch's own choice."""
    checkpoint_every: int = 200
    """Steps; the default of generated projects. Other loops than theirs write none."""
    batch: int = 32
    samples: int = 1024

    @classmethod
    def given(cls) -> "Workload":
        """Return the workload that the command line describes in JSON."""
        return cls(**json.loads(sys.argv[1]))

    def build_model(self) -> nn.Module:
        """Return a new model."""
        return MODELS[self.model](num_classes=len(CLASSES), **self.arguments)

    def build_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return PyTorch's own optimizer, with its defaults unless `fused` is set."""
        optimizers = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        choice = {"fused": True} if self.fused else {}
        return optimizers[self.optimizer](model.parameters(), lr=1e-3, **choice)

    def set_threads(self) -> None:
        """Use as many threads as the workload says."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)


class MeasuredUNet(UNet):
    """The project's U-Net, which tells when a training step begins."""

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, C, H, W] for images [B, 3, H, W]."""
        if self.training:
            begin_step()
        return super().forward(images)


class MeasuredTiny(nn.Module):
    """A few thousand parameters over a few pixels: a step costs next to nothing but overhead."""

    def __init__(
        self, num_classes: int, side: int, hidden: Sequence[int], normalised: bool = False
    ) -> None:
        super().__init__()
        pixels = side * side
        self.shape = (num_classes, side, side)
        layers: list[nn.Module] = [nn.Flatten()]
        width = 3 * pixels
        for following in hidden:
            layers.append(nn.Linear(width, following))
            if normalised:
                layers.append(nn.BatchNorm1d(following))
            layers.append(nn.ReLU())
            width = following
        self.layers = nn.Sequential(*layers, nn.Linear(width, num_classes * pixels))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, C, H, W] for images [B, 3, H, W]."""
        if self.training:
            begin_step()
        logits: Tensor = self.layers(images).unflatten(1, self.shape)
        return logits


MODELS = {"unet": MeasuredUNet, "tiny": MeasuredTiny}


class Arrays:
    """Made-up samples as a data source of the project; every split is the same."""

    class_names = CLASSES
    fingerprint = "arrays"

    def __init__(self, side: int, samples: int) -> None:
        generator = np.random.default_rng(0)
        self.images = generator.integers(0, 256, (samples, side, side, 3), dtype=np.uint8)
        self.masks = generator.integers(0, len(CLASSES), (samples, side, side), dtype=np.uint8)

    def split(self, name: str) -> "Arrays":
        """Return the samples."""
        return self

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the sample's number in words."""
        return f"sample {index}"

    def read(self, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return one sample."""
        return self.images[index], self.masks[index]
