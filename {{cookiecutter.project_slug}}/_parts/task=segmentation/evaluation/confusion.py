"""The confusion matrix, counted batch by batch: every metric of a segmentation follows from it."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evaluation.evaluator import Arrays, Section
from utils.checks import check
from utils.errors import UserError

Metric = Callable[[np.ndarray, Sequence[str]], Iterator[tuple[str, float]]]

_VALUES = 256  # a mask is uint8


class ConfusionMatrix:
    """An evaluator that counts how often each class was taken for each other one.

    Attributes:
        totals: int64 [C, C], pixels; the row is the true class, the column the predicted one.
        class_names: The C classes, in the order of rows and columns.
        ignore_index: Pixels with this true value count nowhere.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        metrics: Sequence[Metric],
        class_names: Sequence[str],
    ) -> None:
        """Start from zero; the metrics are functions like those of `evaluation.metrics`."""
        fits = len(class_names) == num_classes
        check("class_names", class_names, fits, f"hold {num_classes} names")
        self.totals = np.zeros((num_classes, num_classes), np.int64)
        self.class_names = tuple(class_names)
        self.ignore_index = ignore_index
        self._metrics = tuple(metrics)

    def update(self, fields: Arrays, prediction: Arrays) -> None:
        """Count one batch; the masks of both are uint8 [B, H, W].

        Raises:
            ValueError: If the masks differ in shape, are not uint8, or hold what is no class.
        """
        truth, predicted = fields["mask"], prediction["mask"]
        for name, array in (("truth", truth), ("prediction", predicted)):
            fits = array.dtype == np.uint8 and array.shape == truth.shape
            check(name, f"{array.dtype} {array.shape}", fits, f"be uint8 of shape {truth.shape}")
        # What is out of range shows up in the counts of all 256 x 256 pairs.
        pair = np.left_shift(truth, 8, dtype=np.uint16)
        pair |= predicted
        pairs = np.bincount(pair.ravel(), minlength=_VALUES * _VALUES).reshape(_VALUES, _VALUES)
        pairs[self.ignore_index] = 0
        classes = len(self.class_names)
        if pairs[classes:].any() or pairs[:, classes:].any():
            raise ValueError(
                f"Truth must be below {classes}, or {self.ignore_index}, and predictions below "
                f"{classes}. Received: up to {truth.max()} and {predicted.max()}"
            )
        self.totals += pairs[:classes, :classes]

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield (name, value) of every metric; a UserError if no pixel has been counted."""
        if not self.totals.any():
            raise UserError(
                "The evaluation counted no pixel: the split is empty, or every mask value is "
                f"{self.ignore_index}, which is ignored. Check the masks of the data source."
            )
        for metric in self._metrics:
            yield from metric(self.totals, self.class_names)

    def section(self) -> Section:
        """Return the scores of all classes and the matrix, for the report."""
        from evaluation.sections import classes  # charts, which nothing else needs

        return classes(self.totals, self.class_names)


class ClassScores(NamedTuple):
    """Scores of each class, float64 [C] in 0 to 1; NaN where a score has no meaning."""

    iou: np.ndarray
    """Intersection over union; NaN for a class absent from truth and prediction."""
    dice: np.ndarray
    """Twice the intersection over the sum of both areas; NaN likewise."""
    precision: np.ndarray
    """Share of the predicted pixels that are right; NaN if none was predicted."""
    recall: np.ndarray
    """Share of the true pixels that were found; NaN if there is none."""
    share: np.ndarray
    """Share of all counted pixels that truly are of the class; NaN if none was counted."""


def class_scores(confusion: np.ndarray) -> ClassScores:
    """Return what a confusion matrix, int64 [C truth, C prediction], says about each class."""
    hits, truth, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return ClassScores(
        iou=iou_of_classes(confusion),
        dice=_ratio(2 * hits, truth + predicted),
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, truth),
        share=_ratio(truth, np.full_like(truth, confusion.sum())),
    )


def iou_of_classes(confusion: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each class, float64 [C]; NaN for an absent class."""
    hits = np.diagonal(confusion)
    return _ratio(hits, confusion.sum(axis=0) + confusion.sum(axis=1) - hits)


def mean_over_classes(scores: np.ndarray) -> float:
    """Return the mean of the classes' scores, float64 [C], without NaN; NaN if all are."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")


def image_iou(truth: np.ndarray, prediction: np.ndarray, ignore_index: int) -> np.ndarray:
    """Return the mean IoU of each image, uint8 [B, H, W], over the classes that occur in it.

    Returns:
        float64 [B] in 0 to 1; NaN for an image in which nothing counts.
    """
    counted = truth != ignore_index
    classes = 1 + int(max(truth.max(initial=0, where=counted), prediction.max(initial=0)))
    # Ignored pixels make a last row of the confusion matrix, which is cut off.
    pair = np.where(counted, truth, classes).astype(np.int32) * classes + prediction
    scores = np.empty(len(truth))
    for row, pairs in enumerate(pair.reshape(len(truth), -1)):
        counts = np.bincount(pairs, minlength=(classes + 1) * classes)[: classes * classes]
        scores[row] = mean_over_classes(iou_of_classes(counts.reshape(classes, classes)))
    return scores


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
