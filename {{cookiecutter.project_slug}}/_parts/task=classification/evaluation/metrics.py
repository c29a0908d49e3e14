"""The metrics that a configuration can name, each a pure function of what was counted.

A metric of your own is a function like these: it takes the counts (`evaluation.counts.Counts`) and
the C class names, and yields (name, value) as often as it likes. Write it here and name it
(`metrics: [accuracy, my_metric]`), or anywhere else (`metrics: [evaluation.my_file:my_metric]`).

A class that occurs neither in the truth nor in the predictions has no score. Means leave it out,
and its own value is NaN.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.counts import Counts, calibration_error, class_scores, mean_over_classes
from utils.checks import check


def accuracy(counts: Counts, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the share of samples that are right, 0 to 1. Large classes dominate it."""
    yield "accuracy", float(np.trace(counts.confusion) / counts.confusion.sum())


def balanced_accuracy(counts: Counts, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the mean over classes of the share that was found (recall), 0 to 1."""
    yield "balanced_accuracy", mean_over_classes(class_scores(counts.confusion).recall)


def top_k(counts: Counts, class_names: Sequence[str], k: int = 5) -> Iterator[tuple[str, float]]:
    """Yield `top_<k>`: the share of samples whose class is among the `k` likeliest, 0 to 1."""
    check("k", k, 1 <= k <= len(class_names), f"be 1 to {len(class_names)}, the number of classes")
    yield f"top_{k}", float(counts.ranks[:k].sum() / counts.ranks.sum())


def f1(counts: Counts, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the mean over classes of the F1 score, 0 to 1."""
    yield "f1", mean_over_classes(class_scores(counts.confusion).f1)


def class_f1(counts: Counts, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield `f1_<class>`, 0 to 1, for every class; NaN for one that does not occur."""
    for name, value in zip(class_names, class_scores(counts.confusion).f1, strict=True):
        yield f"f1_{name}", float(value)


def ece(counts: Counts, class_names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the expected calibration error, 0 to 1: lower is better."""
    yield "ece", calibration_error(counts)
