"""The losses with a plain name: from settings to a function of logits and true classes.

Each returns `loss(logits, target)`, to be called with logits [B, C], and with the true class of
each sample [B], any integer type, or the share of each class [B, C], float32. That returns a sum
and its weight in float32 (see `ops.weighted_loss`). The arithmetic is in `ops.loss_functions`.
"""

from collections.abc import Sequence
from functools import partial

from ops.loss_functions import Loss, cross_entropy_loss
from utils.checks import check


def cross_entropy(
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    num_classes: int | None = None,
) -> Loss:
    """Build cross-entropy, averaged over the samples.

    Args:
        class_weights: One weight a class, 0 or greater; None counts all classes alike. The average
            is then the weighted one, over the sum of the true classes' weights.
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
    return partial(cross_entropy_loss, class_weights=class_weights, label_smoothing=label_smoothing)
