"""Weighted means whose parts can be added up: sums and weights, which are divided once.

The mean of a batch is not the mean of its parts' means where pixels or samples weigh differently.
So a loss may return its sum and its weight; the executor adds up those of accumulation steps, of
processes and of the batches of an evaluation, and divides in the end.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

from utils.framework import tf


@dataclass(frozen=True, slots=True)
class WeightedLoss:
    """What the loss of some samples is the quotient of."""

    total: tf.Tensor
    """float32 [], the weighted sum of the losses of all elements (samples, or their pixels)."""
    weight: tf.Tensor
    """float32 [], the sum of their weights."""
    count: tf.Tensor
    """int32 [], how many elements there are; the same in parts of the same number of samples."""

    def __add__(self, other: "WeightedLoss") -> "WeightedLoss":
        """Return the sum of two losses of the same elements with the same weights."""
        return replace(self, total=self.total + other.total)

    def __mul__(self, factor: float | tf.Tensor) -> "WeightedLoss":
        """Return a multiple of the loss."""
        return replace(self, total=self.total * factor)

    __rmul__ = __mul__


LossValue: TypeAlias = tf.Tensor | WeightedLoss
"""What a loss returns; a scalar is the mean over samples that count alike."""


def mean(loss: LossValue) -> tf.Tensor:
    """Return the loss as one number, float32 []; where nothing has a weight, by the count."""
    if not isinstance(loss, WeightedLoss):
        return loss
    count = tf.cast(loss.count, tf.float32)
    return loss.total / tf.where(loss.weight > 0.0, loss.weight, count)


def per_element(loss: LossValue) -> tuple[tf.Tensor, tf.Tensor]:
    """Return sum and weight, divided by the number of elements, so that halves do not overflow."""
    if not isinstance(loss, WeightedLoss):
        return loss, tf.ones_like(loss)
    count = tf.cast(loss.count, tf.float32)
    return loss.total / count, loss.weight / count
