"""A point in an image, in PyTorch: what the model is given and what its outputs mean."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from utils.errors import UserError


class PointIO:
    """The model takes float32 [B, 1, H, W], and returns a dictionary with `point`, [B, 2]."""

    reads = ("picture",)

    def __init__(self, side: int) -> None:
        self._side = side

    def inputs(self, fields: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return what the model is called with."""
        return (fields["picture"].float().div(255).permute(0, 3, 1, 2),)

    def check(self, outputs: Any) -> None:
        """Raise a UserError if a model returned anything else."""
        if not isinstance(outputs, dict) or outputs["point"].shape[1:] != (2,):
            raise UserError("the model must return a dictionary with `point`, [batch, 2]")

    def loss(self, loss: Any, outputs: Any, fields: Mapping[str, Tensor]) -> Tensor:
        """Return the loss, and a tenth of that of the head beside it."""
        point: Tensor = loss(outputs["point"].float(), fields["point"])
        beside: Tensor = loss(outputs["beside"].float(), fields["point"])
        return point + 0.1 * beside

    def predict(self, outputs: Any) -> dict[str, Tensor]:
        """Return the points."""
        return {"point": outputs["point"].float()}

    def probabilities(self, outputs: Any) -> Tensor:
        """There are none."""
        raise UserError("points have no probabilities")


def squared_error() -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mean squared error."""
    return functional.mse_loss


class Pointer(torch.nn.Module):
    """A small network with two heads."""

    def __init__(self, side: int, width: int = 16) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(side * side, width), torch.nn.ReLU()
        )
        self.head = torch.nn.Linear(width, 2)
        self.beside = torch.nn.Linear(width, 2)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return the point of both heads."""
        features = self.body(pictures)
        return {"point": self.head(features), "beside": self.beside(features)}
