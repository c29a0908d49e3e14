"""What every loop trains: the same model on the same decoded arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from arrays import CLASSES
from model.unet import UNet
from torch import Tensor, nn
from turns import begin_step
from work import Work


@dataclass(frozen=True)
class Workload(Work):
    """One training with PyTorch, without saying who runs it."""

    tuned: bool = False
    """Images as channels_last, and memory kept by malloc, as a generated project does."""
    fused: bool = False
    """Take PyTorch's single kernel for the update, which is not its default on a CPU."""

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
