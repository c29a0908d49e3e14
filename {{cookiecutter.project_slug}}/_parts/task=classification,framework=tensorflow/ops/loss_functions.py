"""The arithmetic of the losses: pure functions of logits and true classes, in float32."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from utils.framework import tf

__all__ = ["Loss", "Tensor", "cross_entropy_loss"]

Tensor: TypeAlias = tf.Tensor
Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and targets to a scalar."""


def cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    class_weights: Sequence[float] | None,
    label_smoothing: float,
) -> Tensor:
    """Average cross-entropy over the samples; see `ops.losses.cross_entropy`.

    Logits are [B, C] of any float type; targets are classes, [B] of any integer type, or the share
    of each class, float32 [B, C].

    Returns:
        float32 []; 0 with a gradient of 0 if all true classes weigh 0.
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
    weight = tf.reduce_sum(truth)
    return total / tf.where(weight > 0.0, weight, 1.0)
