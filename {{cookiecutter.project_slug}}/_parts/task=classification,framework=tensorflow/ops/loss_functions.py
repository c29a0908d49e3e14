"""The arithmetic of the losses: pure functions of logits and true classes, in float32."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ops.weighted_loss import LossValue, WeightedLoss
from utils.framework import tf

__all__ = ["Loss", "Tensor", "cross_entropy_loss"]

Tensor: TypeAlias = tf.Tensor
Loss = Callable[[Tensor, Tensor], LossValue]
"""Maps logits and targets to a scalar, or to a sum and its weight."""


def cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    class_weights: Sequence[float] | None,
    label_smoothing: float,
) -> WeightedLoss:
    """Add up cross-entropy over the samples; see `ops.losses.cross_entropy`.

    Logits are [B, C] of any float type; targets are classes, [B] of any integer type, or the share
    of each class, float32 [B, C].
    """
    classes = logits.shape[1]
    truth = target
    if not target.dtype.is_floating:
        truth = tf.one_hot(tf.cast(target, tf.int32), classes)
    shares = truth
    if label_smoothing > 0.0:
        shares = (1.0 - label_smoothing) * truth + label_smoothing / classes
    if class_weights is not None:
        weights = tf.constant(class_weights, tf.float32)
        shares, truth = shares * weights, truth * weights
    total = -tf.reduce_sum(shares * tf.nn.log_softmax(tf.cast(logits, tf.float32), axis=1))
    return WeightedLoss(total, tf.reduce_sum(truth), tf.shape(target)[0])
