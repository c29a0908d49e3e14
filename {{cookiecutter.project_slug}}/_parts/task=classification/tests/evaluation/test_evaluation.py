"""Metrics and calibration against values worked out by hand."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from evaluation import metrics
from evaluation.counts import BINS, ClassCounts, Metric, calibration_error, class_scores
from utils.errors import UserError

NAMES = ("cat", "dog", "sky")
ALL: tuple[Metric, ...] = (
    metrics.accuracy,
    metrics.balanced_accuracy,
    metrics.f1,
    metrics.class_f1,
    metrics.ece,
    partial(metrics.top_k, k=2),
)
# Five samples. By hand, with a bin of confidence for each 1/15:
#   truth cat cat dog sky sky, predicted cat dog dog sky cat
#   cat: 1 of 2 found, 2 predicted -> F1 1/2; dog: 1 of 1, 2 predicted -> 2/3; sky: 1 of 2, 1 -> 2/3
TRUTH = np.array([0, 0, 1, 2, 2], np.int32)
SHARES = np.array(
    [
        [0.90, 0.05, 0.05],  # right, confidence 0.90: bin 13
        [0.30, 0.60, 0.10],  # wrong, the truth second, 0.60: bin 9
        [0.10, 0.60, 0.30],  # right, 0.60: bin 9
        [0.00, 0.00, 1.00],  # right, 1.00: the last bin
        [0.50, 0.40, 0.10],  # wrong, the truth last, 0.50: bin 7
    ],
    np.float32,
)


def counted(
    shares: np.ndarray = SHARES, truth: np.ndarray = TRUTH, names: Sequence[str] = NAMES
) -> ClassCounts:
    result = ClassCounts(len(names), ALL, names)
    count(result, truth, shares)
    return result


def count(counts: ClassCounts, truth: np.ndarray, shares: np.ndarray) -> None:
    label = shares.argmax(axis=1).astype(np.int32)
    counts.update({"label": truth}, {"label": label, "probabilities": shares})


def test_every_metric_by_hand() -> None:
    right_or_not = {7: (1, 0.5, 0), 9: (2, 1.2, 1), 13: (1, 0.9, 1), 14: (1, 1.0, 1)}
    error = sum(abs(hits - confidence) for _, confidence, hits in right_or_not.values()) / 5
    assert error == pytest.approx((0.5 + 0.2 + 0.1 + 0.0) / 5)
    assert dict(counted().results()) == pytest.approx(
        {
            "accuracy": 3 / 5,
            "balanced_accuracy": (1 / 2 + 1 + 1 / 2) / 3,
            "f1": (1 / 2 + 2 / 3 + 2 / 3) / 3,
            "f1_cat": 1 / 2,
            "f1_dog": 2 / 3,
            "f1_sky": 2 / 3,
            "ece": error,
            "top_2": 4 / 5,
        }
    )


def test_counts_by_hand() -> None:
    counts = counted().counts
    assert counts.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert counts.ranks.tolist() == [3, 1, 1]
    expected = np.zeros((2, BINS), int)
    for bin_number, samples, hits in [(7, 1, 0), (9, 2, 1), (13, 1, 1), (14, 1, 1)]:
        expected[:, bin_number] = samples, hits
    assert counts.samples.tolist() == expected[0].tolist()
    assert counts.hits.tolist() == expected[1].tolist()
    np.testing.assert_allclose(counts.confidence[[7, 9, 13, 14]], [0.5, 1.2, 0.9, 1.0], atol=1e-7)
    scores = class_scores(counts.confusion)
    np.testing.assert_allclose(scores.precision, [1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(scores.recall, [1 / 2, 1, 1 / 2])


def test_a_model_that_is_as_often_right_as_it_says_has_no_error() -> None:
    shares = np.tile(np.array([[0.8, 0.2]], np.float32), (10, 1))
    truth = np.array([0] * 8 + [1] * 2, np.int32)
    assert calibration_error(counted(shares, truth, ("a", "b")).counts) == pytest.approx(
        0, abs=1e-6
    )
    assert calibration_error(counted(shares, truth[::-1] * 0, ("a", "b")).counts) == pytest.approx(
        0.2
    )


def test_classes_that_do_not_occur_are_left_out_of_means() -> None:
    wider = np.pad(SHARES, ((0, 0), (0, 1)))
    results = dict(counted(wider, names=(*NAMES, "ghost")).results())
    assert results["f1"] == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3)
    assert math.isnan(results["f1_ghost"])
    never = np.zeros(5, np.int32)  # dog and sky are predicted, but never true
    results = dict(counted(truth=never).results())
    assert results["f1_dog"] == 0.0
    assert results["balanced_accuracy"] == results["accuracy"] == pytest.approx(2 / 5)


def test_equal_probabilities_count_for_the_true_class() -> None:
    shares = np.full((1, 3), 1 / 3, np.float32)
    for label in range(3):
        results = dict(counted(shares, np.array([label], np.int32)).results())
        assert results["top_2"] == 1.0
        assert results["accuracy"] == float(label == 0)


def test_a_model_that_has_diverged_is_right_about_nothing_but_by_chance() -> None:
    shares = np.full((3, 3), np.nan, np.float32)
    results = dict(counted(shares, np.arange(3, dtype=np.int32)).results())
    assert results["top_2"] == 0.0
    assert results["accuracy"] == results["ece"] == pytest.approx(1 / 3)


def test_parts_in_any_order_add_up_to_the_whole() -> None:
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(3), 200).astype(np.float32)
    truth = random.integers(0, 3, 200).astype(np.int32)
    whole = counted(shares, truth)
    parts = [counted(shares[i::7], truth[i::7]) for i in reversed(range(7))]
    total = np.sum([part.totals for part in parts], axis=0)
    assert np.array_equal(total, whole.totals)  # to the bit: confidence is added in whole numbers


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number below 3"):
        counted(truth=TRUTH + 1)
    with pytest.raises(ValueError, match="whole number below 3"):
        counted(truth=TRUTH[:3])
    with pytest.raises(ValueError, match="whole number below 3"):
        counted(truth=TRUTH.astype(np.float32))
    with pytest.raises(UserError, match="counted no sample"):
        dict(ClassCounts(3, ALL, NAMES).results())
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"k.*1 to 3.*{k}"):
            dict(metrics.top_k(counted().counts, NAMES, k=k))
