"""Weighted means whose parts can be added up: sums and weights, which are divided once.

The mean of a batch is not the mean of its parts' means where pixels or samples weigh differently.
So a loss may return its sum and its weight; the executor adds up those of accumulation steps, of
processes and of the batches of an evaluation, and divides in the end.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class WeightedLoss:
    """What the loss of some samples is the quotient of."""

    total: Tensor
    """float32 [], the weighted sum of the losses of all elements (samples, or their pixels)."""
    weight: Tensor
    """float32 [], the sum of their weights."""
    count: int
    """How many elements there are; the same in parts of the same number of samples."""

    def __add__(self, other: "WeightedLoss") -> "WeightedLoss":
        """Return the sum of two losses of the same elements with the same weights."""
        return replace(self, total=self.total + other.total)

    def __mul__(self, factor: float | Tensor) -> "WeightedLoss":
        """Return a multiple of the loss."""
        return replace(self, total=self.total * factor)

    __rmul__ = __mul__


LossValue: TypeAlias = Tensor | WeightedLoss
"""What a loss returns; a scalar is the mean over samples that count alike."""


def mean(loss: LossValue) -> Tensor:
    """Return the loss as one number, float32 []; where nothing has a weight, by the count."""
    if isinstance(loss, Tensor):
        return loss
    return loss.total / loss.weight.where(loss.weight > 0.0, float(loss.count))


def per_element(loss: LossValue) -> tuple[Tensor, Tensor]:
    """Return sum and weight, divided by the number of elements, so that halves do not overflow."""
    if isinstance(loss, Tensor):
        return loss, torch.ones_like(loss)
    return loss.total / loss.count, loss.weight / loss.count
