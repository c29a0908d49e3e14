"""What is counted of predicted classes: every metric of a classification follows from it."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evaluation.evaluator import Arrays, Section
from utils.checks import check
from utils.errors import UserError

BINS = 15
"""How many equal parts the range of confidence, 0 to 1, is divided into."""
_UNIT = 1 << 30  # confidence is added up in whole numbers, the same in any order


class Counts(NamedTuple):
    """The counts of some samples."""

    confusion: np.ndarray
    """int64 [C truth, C prediction], samples."""
    ranks: np.ndarray
    """int64 [C], samples by how many classes were held to be likelier than the true one."""
    samples: np.ndarray
    """int64 [BINS], samples by the confidence of their prediction."""
    hits: np.ndarray
    """int64 [BINS], how many of them are right."""
    confidence: np.ndarray
    """float64 [BINS], the sum of their confidence, which is the probability of the prediction."""


Metric = Callable[[Counts, Sequence[str]], Iterator[tuple[str, float]]]


class ClassCounts:
    """An evaluator that counts classes, ranks and confidence.

    Attributes:
        totals: int64 [C * C + C + 3 * BINS], all counts in a row.
        class_names: The C classes, in the order of rows and columns.
    """

    def __init__(
        self, num_classes: int, metrics: Sequence[Metric], class_names: Sequence[str]
    ) -> None:
        """Start from zero; the metrics are functions like those of `evaluation.metrics`."""
        fits = len(class_names) == num_classes
        check("class_names", class_names, fits, f"hold {num_classes} names")
        self.class_names = tuple(class_names)
        self.totals = np.zeros(num_classes * (num_classes + 1) + 3 * BINS, np.int64)
        self._metrics = tuple(metrics)

    @property
    def counts(self) -> Counts:
        """What has been counted so far."""
        classes = len(self.class_names)
        confusion, ranks, bins = np.split(self.totals, [classes**2, classes * (classes + 1)])
        samples, hits, confidence = bins.reshape(3, BINS)
        return Counts(confusion.reshape(classes, classes), ranks, samples, hits, confidence / _UNIT)

    def update(self, fields: Arrays, prediction: Arrays) -> None:
        """Count one batch: the true `label`, int [B], and the prediction.

        That is its `label`, int [B], and `probabilities`, float [B, C].

        Raises:
            ValueError: If the arrays do not fit, or hold what is no class.
        """
        truth, predicted = fields["label"], prediction["label"]
        probabilities = prediction["probabilities"]
        classes = len(self.class_names)
        for name, labels in (("truth", truth), ("prediction", predicted)):
            fits = labels.shape == (len(probabilities),) and labels.dtype.kind in "iu"
            fits = fits and bool(((labels >= 0) & (labels < classes)).all())
            check(name, labels, fits, f"be one whole number below {classes} for each sample")
        rows = np.arange(len(truth))
        # Where a model has diverged, no class is less likely than NaN, and NaN is no confidence.
        is_likelier = ~(probabilities <= probabilities[rows, truth][:, None])
        ranks = np.minimum(is_likelier.sum(axis=1), classes - 1)
        confidence = np.nan_to_num(probabilities[rows, predicted].astype(np.float64))
        bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        sums = np.zeros(BINS, np.int64)
        np.add.at(sums, bins, np.rint(confidence * _UNIT).astype(np.int64))
        pairs = truth.astype(np.int64) * classes + predicted
        self.totals += np.concatenate(
            [
                np.bincount(pairs, minlength=classes**2),
                np.bincount(ranks, minlength=classes),
                np.bincount(bins, minlength=BINS),
                np.bincount(bins[truth == predicted], minlength=BINS),
                sums,
            ]
        )

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield (name, value) of every metric; a UserError if no sample has been counted."""
        if not self.totals.any():
            raise UserError("The evaluation counted no sample: the split is empty.")
        for metric in self._metrics:
            yield from metric(self.counts, self.class_names)

    def section(self) -> Section:
        """Return the scores of all classes, the confusion matrix and the calibration."""
        from evaluation.sections import classes  # charts, which nothing else needs

        return classes(self.counts, self.class_names)


class ClassScores(NamedTuple):
    """Scores of each class, float64 [C] in 0 to 1; NaN where a score has no meaning."""

    f1: np.ndarray
    """Harmonic mean of precision and recall; NaN for a class absent from truth and prediction."""
    precision: np.ndarray
    """Share of the predictions of the class that are right; NaN if it was never predicted."""
    recall: np.ndarray
    """Share of the samples of the class that were found; NaN if there is none."""


def class_scores(confusion: np.ndarray) -> ClassScores:
    """Return what a confusion matrix, int64 [C truth, C prediction], says about each class."""
    hits, truth, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return ClassScores(
        f1=_ratio(2 * hits, truth + predicted),
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, truth),
    )


def mean_over_classes(scores: np.ndarray) -> float:
    """Return the mean of the classes' scores, float64 [C], without NaN; NaN if all are."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")


def calibration_error(counts: Counts) -> float:
    """Return the expected calibration error, 0 to 1 (Guo et al., 2017, arXiv:1706.04599).

    That is the mean difference of confidence and accuracy over all samples, bin by bin.
    """
    return float(np.abs(counts.hits - counts.confidence).sum() / counts.samples.sum())


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
