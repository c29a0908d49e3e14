"""The arithmetic of the losses: pure functions of logits and true classes, in float32."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from utils.framework import tf

__all__ = ["Loss", "Tensor", "cross_entropy_loss", "dice_loss"]

Tensor: TypeAlias = tf.Tensor
Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and targets to a scalar."""


def cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    class_weights: Sequence[float] | None,
    ignore_index: int,
    label_smoothing: float,
) -> Tensor:
    """Average cross-entropy over the pixels that count; see `ops.losses.cross_entropy`.

    Logits are [B, H, W, C] of any float type, targets [B, H, W] of any integer type.

    Returns:
        float32 []; 0 with a gradient of 0 if no pixel counts.
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
    weight = tf.reduce_sum(weights)
    # Where no pixel counts, the quotient and its gradient would be NaN.
    return total / tf.where(weight > 0.0, weight, 1.0)


def dice_loss(logits: Tensor, target: Tensor, ignore_index: int, smooth: float) -> Tensor:
    """Return 1 - soft Dice (Milletari et al., 2016, arXiv:1606.04797), averaged over the classes.

    With probabilities p and true masks t the coefficient of a class is
    (2 sum(p t) + smooth) / (sum(p^2) + sum(t^2) + smooth); the sums run over all pixels of the
    batch that count. Logits and target are those of `cross_entropy_loss`.

    Returns:
        float32 [] in [0, 1); 0 with a gradient of 0 if no pixel counts.
    """
    planes, truth = _by_class(logits, target, ignore_index)
    counts = tf.reduce_sum(truth, axis=0)
    probabilities = tf.exp(planes - tf.reduce_logsumexp(planes, axis=0)) * counts
    pixels = (1, 2, 3)
    both = tf.reduce_sum(probabilities * truth, pixels)
    either = tf.reduce_sum(tf.square(probabilities) + truth, pixels)
    return 1.0 - tf.reduce_mean((2.0 * both + smooth) / (either + smooth))


def _by_class(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Return logits and true masks as float32 [C, B, H, W]; where a pixel does not count, no 1.

    A CPU sums over the classes of many pixels at a time when those lie side by side. With three
    classes, loss and gradient take a third of the time of TensorFlow's own cross-entropy.
    """
    classes = tf.cast(target, tf.int32)
    classes = tf.where(classes == ignore_index, -1, classes)
    planes = tf.transpose(tf.cast(logits, tf.float32), (3, 0, 1, 2))
    return planes, tf.one_hot(classes, logits.shape[-1], axis=0)
