"""The losses with a plain name: from settings to a function of logits and true classes.

Each returns `loss(logits, target)`, to be called with logits of the shape that a model returns and
the true class of each pixel [B, H, W], any integer type; that returns a sum and its weight in
float32 (see `ops.weighted_loss`). The arithmetic is in `ops.loss_functions`.
"""

from collections.abc import Sequence
from functools import partial

from ops.loss_functions import Loss, Tensor, cross_entropy_loss, dice_loss
from ops.weighted_loss import WeightedLoss
from utils.checks import check

IGNORE_INDEX = 255


def cross_entropy(
    class_weights: Sequence[float] | None = None,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    num_classes: int | None = None,
) -> Loss:
    """Build cross-entropy, averaged over the pixels that count.

    Args:
        class_weights: One weight a class, 0 or greater; None counts all classes alike. The average
            is then the weighted one, over the sum of the true classes' weights.
        ignore_index: True class of the pixels that do not count.
        label_smoothing: Share of the target spread evenly over all classes, in [0, 1].
        num_classes: How many classes there are, to check the weights; the executor fills it in.

    Raises:
        ValueError: If an argument is out of range.
    """
    if class_weights is not None:
        shown, count = list(class_weights), num_classes or len(class_weights)
        expected = f"hold one number for each of the {num_classes} classes"
        check("class_weights", shown, len(shown) == count, expected)
        fits = min(class_weights) >= 0 and max(class_weights) > 0
        check("class_weights", shown, fits, "hold numbers of 0 or greater, not all of them 0")
    fits = 0.0 <= label_smoothing <= 1.0
    check("label_smoothing", label_smoothing, fits, "be between 0 and 1")
    return partial(
        cross_entropy_loss,
        class_weights=class_weights,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )


def dice(ignore_index: int = IGNORE_INDEX, smooth: float = 1.0) -> Loss:
    """Build the soft Dice loss: averaged over the classes, then over the samples.

    Each sample weighs as much as it has pixels that count.

    Args:
        ignore_index: True class of the pixels that do not count.
        smooth: Added above and below the fraction, greater than 0; a class that a sample neither
            shows nor is said to show then has a loss of 0.

    Raises:
        ValueError: If `smooth` is not greater than 0.
    """
    check("smooth", smooth, smooth > 0, "be greater than 0")
    return partial(dice_loss, ignore_index=ignore_index, smooth=smooth)


def cross_entropy_dice(
    dice_weight: float = 1.0,
    class_weights: Sequence[float] | None = None,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    smooth: float = 1.0,
    num_classes: int | None = None,
) -> Loss:
    """Build cross-entropy + `dice_weight` x Dice: good gradients from one, balance from the other.

    `dice_weight` is 0 or greater. The other arguments are those of `cross_entropy` and `dice`; Dice
    weighs all classes alike, but a sample by the weights of its pixels.

    Raises:
        ValueError: If an argument is out of range.
    """
    check("dice_weight", dice_weight, dice_weight >= 0, "be at least 0")
    cross_entropy(class_weights, ignore_index, label_smoothing, num_classes)  # checks its arguments
    dice(ignore_index, smooth)

    def loss(logits: Tensor, target: Tensor) -> WeightedLoss:
        entropy = cross_entropy_loss(logits, target, class_weights, ignore_index, label_smoothing)
        overlap = dice_loss(logits, target, ignore_index, smooth, class_weights)
        return entropy + dice_weight * overlap

    return loss
