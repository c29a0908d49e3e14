"""Metrics against values computed by hand, and the choice of samples."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from evaluation import metrics
from evaluation.confusion import ConfusionMatrix, Metric, class_scores, image_iou
from evaluation.evaluator import Arrays, Section
from evaluation.samples import SamplePicker
from utils.errors import UserError

NAMES = ("cat", "dog", "sky")
ALL: tuple[Metric, ...] = (metrics.accuracy, metrics.mean_iou, metrics.class_iou, metrics.dice)

# Six pixels, of which the last is ignored. By hand:
#   cat: 1 hit, 2 true, 1 predicted -> IoU 1/2, Dice 2/3
#   dog: 2 hits, 2 true, 3 predicted -> IoU 2/3, Dice 4/5
#   sky: 1 hit, 1 true, 1 predicted -> IoU 1, Dice 1
TRUTH = np.array([[[0, 0, 1], [1, 2, 255]]], np.uint8)
PREDICTION = np.array([[[0, 1, 1], [1, 2, 0]]], np.uint8)


def matrix(names: Sequence[str] = NAMES, chosen: Sequence[Metric] = ALL) -> ConfusionMatrix:
    return ConfusionMatrix(len(names), 255, chosen, names)


def count(matrix: ConfusionMatrix, truth: np.ndarray, prediction: np.ndarray) -> None:
    matrix.update({"mask": truth}, {"mask": prediction})


def picker(samples: int = 30, count: int = 4, seed: int = 0) -> SamplePicker:
    names = [f"sample {index}" for index in range(samples)]

    def score(fields: Arrays, prediction: Arrays) -> np.ndarray:
        return image_iou(fields["mask"], prediction["mask"], 255)

    return SamplePicker(names, seed, score, lambda chosen: Section(str(len(chosen))), count)


def test_counts_have_truth_in_rows_and_leave_out_ignored_pixels() -> None:
    counted = matrix()
    count(counted, TRUTH, PREDICTION)
    np.testing.assert_array_equal(counted.totals, [[1, 1, 0], [0, 2, 0], [0, 0, 1]])
    assert counted.totals.dtype == np.int64


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (metrics.accuracy, {"accuracy": 4 / 5}),
        (metrics.mean_iou, {"mean_iou": (1 / 2 + 2 / 3 + 1) / 3}),
        (metrics.class_iou, {"iou_cat": 1 / 2, "iou_dog": 2 / 3, "iou_sky": 1.0}),
        (metrics.dice, {"dice": (2 / 3 + 4 / 5 + 1) / 3}),
    ],
)
def test_metric_by_hand(metric: Metric, expected: dict[str, float]) -> None:
    counted = matrix(chosen=[metric])
    count(counted, TRUTH, PREDICTION)
    assert dict(counted.results()) == pytest.approx(expected)


def test_class_scores_by_hand() -> None:
    counted = matrix()
    count(counted, TRUTH, PREDICTION)
    scores = class_scores(counted.totals)
    np.testing.assert_allclose(scores.precision, [1, 2 / 3, 1])
    np.testing.assert_allclose(scores.recall, [1 / 2, 1, 1])
    np.testing.assert_allclose(scores.share, [2 / 5, 2 / 5, 1 / 5])


def test_absent_class_is_left_out_of_means() -> None:
    counted = matrix((*NAMES, "ghost"))
    count(counted, TRUTH, PREDICTION)
    results = dict(counted.results())
    assert results["mean_iou"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert results["dice"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    assert math.isnan(results["iou_ghost"])


def test_class_that_is_only_predicted_counts_as_zero() -> None:
    counted = matrix(("cat", "dog"))
    count(counted, np.zeros((1, 2, 2), np.uint8), np.array([[[0, 0], [0, 1]]], np.uint8))
    results = dict(counted.results())
    assert results["iou_dog"] == 0.0
    assert results["mean_iou"] == pytest.approx((3 / 4 + 0) / 2)


def test_stream_equals_one_shot_and_parts_add_up() -> None:
    random = np.random.default_rng(0)
    truth = random.choice(np.array([0, 1, 2, 255], np.uint8), (10, 7, 5))
    prediction = random.integers(0, 3, truth.shape, np.uint8)
    whole, stream, first, second = (matrix() for _ in range(4))
    count(whole, truth, prediction)
    for one in range(10):
        count(stream, truth[one : one + 1], prediction[one : one + 1])
    count(first, truth[:4], prediction[:4])
    count(second, truth[4:], prediction[4:])
    first.totals += second.totals
    assert dict(whole.results()) == dict(stream.results()) == dict(first.results())


def test_arrays_of_other_types_and_unknown_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        count(matrix(), TRUTH.astype(np.int64), PREDICTION)
    with pytest.raises(ValueError, match="must be uint8 of shape"):
        count(matrix(), TRUTH, PREDICTION[:, :1])
    with pytest.raises(ValueError, match=r"or 255.* below 3\. Received: up to 7 and 0"):
        count(matrix(), np.full((1, 2, 2), 7, np.uint8), np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"below 3\. Received: up to 255 and 3"):
        count(matrix(), TRUTH, np.full_like(TRUTH, 3))


def test_nothing_counted_is_an_error() -> None:
    counted = matrix()
    count(counted, np.full((1, 2, 2), 255, np.uint8), np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(UserError, match="counted no pixel"):
        dict(counted.results())
    assert math.isnan(dict(metrics.mean_iou(counted.totals, NAMES))["mean_iou"])


def test_image_iou_by_hand() -> None:
    ignored = np.full_like(TRUTH, 255)
    scores = image_iou(
        np.concatenate([TRUTH, TRUTH, ignored]),
        np.concatenate([PREDICTION, np.where(TRUTH == 255, 0, TRUTH), PREDICTION]),
        255,
    )
    np.testing.assert_allclose(scores, [(1 / 2 + 2 / 3 + 1) / 3, 1, np.nan])


def picked(count: int, batch: int, seed: int = 0, samples: int = 20) -> list[tuple[str, str]]:
    """Pick among samples of 5 x 5 pixels, of which sample i has i wrong ones."""
    chosen = picker(samples, count, seed)
    truth = np.zeros((samples, 5, 5), np.uint8)
    prediction = (np.arange(25).reshape(1, 5, 5) < np.arange(samples)[:, None, None]).astype("u1")
    images = np.zeros((samples, 5, 5, 3), np.uint8)
    for start in range(0, samples, batch):
        part = slice(start, min(start + batch, samples))
        indices = np.arange(part.start, part.stop)
        buffers = [array[part].copy() for array in (images, truth, prediction)]
        fields = {"image": buffers[0], "mask": buffers[1], "index": indices}
        chosen.update(fields, {"mask": buffers[2]})
        for buffer in buffers:
            buffer[:] = 99  # what is kept must be a copy
    result = chosen.samples()
    for sample in result:
        wrong = int(sample.name.removeprefix("sample "))
        assert (sample.fields["mask"] != sample.prediction["mask"]).sum() == wrong
        assert not sample.fields["image"].any()
        assert sample.score == pytest.approx((25 - wrong) / 25 / (2 if wrong else 1))
    return [(sample.group, sample.name) for sample in result]


def test_picker_finds_best_worst_and_random() -> None:
    chosen = picked(count=3, batch=4)
    groups = {g: [name for group, name in chosen if group == g] for g, _ in chosen}
    assert groups["best"] == ["sample 0", "sample 1", "sample 2"]
    assert groups["worst"] == ["sample 19", "sample 18", "sample 17"]
    assert len(groups["random"]) == 3
    assert len({name for _, name in chosen}) == 9


def test_picker_does_not_depend_on_the_batches_but_on_the_seed() -> None:
    assert picked(3, batch=1) == picked(3, batch=7) == picked(3, batch=20)
    assert any(picked(3, batch=7) != picked(3, batch=7, seed=seed) for seed in range(1, 4))


def test_picker_shares_out_too_few_samples() -> None:
    assert picked(4, batch=2, samples=3) == [
        ("best", "sample 0"),
        ("best", "sample 1"),
        ("worst", "sample 2"),
    ]
    assert picker().samples() == []


@pytest.mark.parametrize("processes", [2, 3])
def test_pickers_of_several_processes_pick_what_one_picks(processes: int) -> None:
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 3, (2, 30, 5, 5), dtype=np.uint8)
    images = rng.integers(0, 256, (30, 5, 5, 3), dtype=np.uint8)

    def update(one: SamplePicker, places: np.ndarray) -> None:
        fields = {"image": images[places], "mask": truth[places], "index": places}
        one.update(fields, {"mask": prediction[places]})

    alone, pickers = picker(count=3), [picker(count=3) for _ in range(processes)]
    update(alone, np.arange(30))
    for rank, part in enumerate(pickers):
        update(part, np.arange(rank, 30, processes))
    joined = picker(count=3)
    joined.join([part.packed() for part in pickers])
    for one, other in zip(joined.samples(), alone.samples(), strict=True):
        assert (one.name, one.group, one.score) == (other.name, other.group, other.score)
        for kind in ("image", "mask"):
            assert np.array_equal(one.fields[kind], other.fields[kind])
        assert np.array_equal(one.prediction["mask"], other.prediction["mask"])


def test_a_picker_without_samples_can_join() -> None:
    joined = picker()
    joined.join([picker().packed()] * 2)
    assert joined.samples() == []
