"""The metrics that a configuration can name, each a pure function of the confusion matrix.

A metric of your own is a function like these: it takes the confusion matrix, int64
[C truth, C prediction] in pixels, and the C class names, and yields (name, value) as often as it
likes. Write it here and name it (`metrics: [mean_iou, my_metric]`), or anywhere else
(`metrics: [evaluation.my_file:my_metric]`).

A class that occurs neither in the truth nor in the predictions has no score. Means leave it out
(a class that is only predicted, or only missed, counts as 0); its own value is NaN, and so is a
mean over no class at all.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.confusion import class_scores, mean_over_classes


def accuracy(confusion: np.ndarray, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the share of pixels that are right, 0 to 1. Large classes dominate it."""
    pixels = int(confusion.sum())
    yield "accuracy", int(np.trace(confusion)) / pixels if pixels else float("nan")


def mean_iou(confusion: np.ndarray, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the mean over classes of intersection over union (Jaccard index), 0 to 1."""
    yield "mean_iou", mean_over_classes(class_scores(confusion).iou)


def class_iou(confusion: np.ndarray, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield `iou_<class>`, 0 to 1, for every class; NaN for one that does not occur."""
    for name, value in zip(class_names, class_scores(confusion).iou, strict=True):
        yield f"iou_{name}", float(value)


def dice(confusion: np.ndarray, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the mean over classes of the Dice coefficient (F1 score), 0 to 1."""
    yield "dice", mean_over_classes(class_scores(confusion).dice)
