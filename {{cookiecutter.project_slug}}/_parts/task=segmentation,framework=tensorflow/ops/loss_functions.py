"""The arithmetic of the losses: pure functions of logits and true classes, in float32."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ops.weighted_loss import LossValue, WeightedLoss
from utils.framework import tf

__all__ = ["Loss", "Tensor", "WeightedLoss", "cross_entropy_loss", "dice_loss"]

Tensor: TypeAlias = tf.Tensor
Loss = Callable[[Tensor, Tensor], LossValue]
"""Maps logits and targets to a scalar, or to a sum and its weight."""


def cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    class_weights: Sequence[float] | None,
    ignore_index: int,
    label_smoothing: float,
) -> WeightedLoss:
    """Add up cross-entropy over the pixels that count; see `ops.losses.cross_entropy`.

    Logits are [B, H, W, C] of any float type, targets [B, H, W] of any integer type.
    """
    classes = logits.shape[-1]
    planes, truth = _by_class(logits, target, ignore_index)
    shares, weights = truth, truth
    if label_smoothing > 0:
        counts = tf.reduce_sum(truth, axis=0)
        shares = (1.0 - label_smoothing) * truth + label_smoothing / classes * counts
    if class_weights is not None:
        each = tf.reshape(tf.constant(class_weights, tf.float32), (classes, 1, 1, 1))
        shares, weights = shares * each, weights * each
    total = tf.reduce_sum(shares * (tf.reduce_logsumexp(planes, axis=0) - planes))
    return WeightedLoss(total, tf.reduce_sum(weights), tf.size(target))


def dice_loss(
    logits: Tensor,
    target: Tensor,
    ignore_index: int,
    smooth: float,
    class_weights: Sequence[float] | None = None,
) -> WeightedLoss:
    """Add up 1 - soft Dice (Milletari et al., 2016, arXiv:1606.04797) of the samples.

    With probabilities p and true masks t the coefficient of a class is
    (2 sum(p t) + smooth) / (sum(p^2) + sum(t^2) + smooth); the sums run over the pixels of a sample
    that count. That of a sample is the mean over all classes, and it weighs as much as its pixels
    do together in `cross_entropy_loss`, whose logits and target these are.
    """
    planes, truth = _by_class(logits, target, ignore_index)
    counts = tf.reduce_sum(truth, axis=0)
    probabilities = tf.exp(planes - tf.reduce_logsumexp(planes, axis=0)) * counts
    pixels = (2, 3)
    both = tf.reduce_sum(probabilities * truth, pixels)
    sizes = tf.reduce_sum(truth, pixels)  # [C, B]
    either = tf.reduce_sum(tf.square(probabilities), pixels) + sizes
    losses = 1.0 - tf.reduce_mean((2.0 * both + smooth) / (either + smooth), axis=0)
    if class_weights is not None:
        sizes *= tf.constant(class_weights, tf.float32)[:, None]
    weights = tf.reduce_sum(sizes, axis=0)
    return WeightedLoss(tf.reduce_sum(weights * losses), tf.reduce_sum(weights), tf.size(target))


def _by_class(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Return logits and true masks as float32 [C, B, H, W]; where a pixel does not count, no 1.

    A CPU sums over the classes of many pixels at a time when those lie side by side. With three
    classes, loss and gradient take a third of the time of TensorFlow's own cross-entropy.
    """
    classes = tf.cast(target, tf.int32)
    classes = tf.where(classes == ignore_index, -1, classes)
    planes = tf.transpose(tf.cast(logits, tf.float32), (3, 0, 1, 2))
    return planes, tf.one_hot(classes, logits.shape[-1], axis=0)
