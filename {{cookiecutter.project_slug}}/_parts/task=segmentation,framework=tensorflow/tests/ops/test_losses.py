"""The losses against arithmetic done by hand and against PyTorch's numbers."""

import math
from typing import Any

import numpy as np
import pytest

from ops import loss_functions, losses
from ops.weighted_loss import mean
from utils.framework import tf

IGNORE = 255


def built(name: str, *arguments: Any, **settings: Any) -> Any:
    """Return a loss that gives one number, of a batch that is not in parts."""
    loss = getattr(losses, name)(*arguments, **settings)
    return lambda logits, target: mean(loss(logits, target))


def example(classes: int = 3, ignored: bool = True) -> tuple[tf.Tensor, tf.Tensor]:
    """Return logits [2, 5, 7, classes] and true classes [2, 5, 7]."""
    draws = np.random.default_rng(0)
    logits = draws.uniform(-3, 3, (2, 5, 7, classes)).astype(np.float32)
    target = draws.integers(0, classes, (2, 5, 7)).astype(np.uint8)
    if ignored:
        target[0, :2] = IGNORE
    return tf.constant(logits), tf.constant(target)


def with_gradient(
    loss: loss_functions.Loss, logits: tf.Tensor, target: tf.Tensor
) -> tuple[float, Any]:
    """Return the loss and its gradient with respect to the logits, computed in a graph."""

    @tf.function
    def compute(logits: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(logits, target)
        return value, tape.gradient(value, logits)

    value, gradient = compute(logits, target)
    return float(value), gradient.numpy()


def test_cross_entropy_by_hand() -> None:
    logits = tf.constant([[[[0.0, 0.0], [2.0, 0.0]]]])  # [1, 1, 2, 2]
    target = tf.constant([[[1, 0]]])
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert float(built("cross_entropy")(logits, target)) == pytest.approx(expected)


# Loss and norm of its gradient for `example()`, by PyTorch 2.13.
WEIGHTS = [1.0, 2.0, 0.5]
BY_PYTORCH: list[tuple[str, dict[str, Any], float, float]] = [
    ("cross_entropy", {}, 2.2428412, 0.14063667),
    ("cross_entropy", {"class_weights": WEIGHTS}, 2.1477177, 0.15502600),
    ("cross_entropy", {"class_weights": [0.0, 1.0, 1.0]}, 2.1384830, 0.17557002),
    ("cross_entropy", {"label_smoothing": 0.1}, 2.2181132, 0.13159744),
    ("cross_entropy", {"class_weights": WEIGHTS, "label_smoothing": 0.3}, 2.1458604, 0.12656412),
    ("dice", {}, 0.62452573, 0.02880138),
    ("dice", {"smooth": 0.5}, 0.64423358, 0.029702725),
    ("cross_entropy_dice", {}, 2.867367, 0.16050793),
    (
        "cross_entropy_dice",
        {"dice_weight": 0.5, "class_weights": WEIGHTS, "label_smoothing": 0.1, "smooth": 2.0},
        2.4414835,
        0.15327305,
    ),
]


@pytest.mark.parametrize(("name", "arguments", "value", "norm"), BY_PYTORCH)
def test_every_framework_has_the_same_numbers(
    name: str, arguments: dict[str, Any], value: float, norm: float
) -> None:
    ours, gradient = with_gradient(built(name, **arguments), *example())
    assert ours == pytest.approx(value, abs=1e-6)
    assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "dice"])
def test_a_class_can_be_the_one_that_is_ignored(name: str) -> None:
    logits, target = example(ignored=False)
    marked = tf.where(target == 1, tf.constant(IGNORE, tf.uint8), target)
    assert built(name, ignore_index=1)(logits, target) == built(name)(logits, marked)


def test_cross_entropy_equals_tensorflow() -> None:
    logits, target = example(ignored=False)
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(target, tf.int32), logits)
    ours = built("cross_entropy")(logits, target)
    assert float(ours) == pytest.approx(float(tf.reduce_mean(each)), rel=1e-6)


def test_dice_by_hand() -> None:
    logits = tf.constant([[[[0.0, 0.0], [math.log(3), 0.0]]]])  # p of class 0: 1/2, 3/4
    target = tf.constant([[[1, 0]]])
    first = (2 * 3 / 4 + 1) / (1 / 4 + 9 / 16 + 1 + 1)
    second = (2 * 1 / 2 + 1) / (1 / 4 + 1 / 16 + 1 + 1)
    expected = 1 - (first + second) / 2
    assert float(built("dice", smooth=1.0)(logits, target)) == pytest.approx(expected)


def test_dice_equals_numpy() -> None:
    logits, target = example()
    scores = logits.numpy().astype(np.float64)
    exponent = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p = exponent / exponent.sum(axis=-1, keepdims=True)
    samples, weights = [], []
    for shares, classes in zip(p, target.numpy(), strict=True):
        counts = classes != IGNORE
        coefficients = []
        for c in range(3):
            truth = (classes == c)[counts].astype(float)
            both = (shares[counts, c] * truth).sum()
            squares = (shares[counts, c] ** 2).sum()
            coefficients.append((2 * both + 0.5) / (squares + truth.sum() + 0.5))
        samples.append(1 - np.mean(coefficients))
        weights.append(counts.sum())
    expected = np.average(samples, weights=weights)
    assert float(built("dice", smooth=0.5)(logits, target)) == pytest.approx(expected, rel=1e-6)


def test_a_perfect_prediction_has_no_dice_loss_even_for_an_absent_class() -> None:
    target = tf.constant([[[0, 1], [1, 0]]])
    logits = tf.one_hot(target, 3) * 100.0
    assert float(built("dice")(logits, target)) == pytest.approx(0.0, abs=1e-6)


def test_the_sum_is_the_sum() -> None:
    logits, target = example()
    both = built("cross_entropy_dice", dice_weight=0.5)(logits, target)
    entropy = built("cross_entropy")(logits, target)
    expected = entropy + 0.5 * built("dice")(logits, target)
    assert float(both) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "cross_entropy_dice"])
class TestEveryLoss:
    """What holds for each of them."""

    def test_ignored_pixels_change_nothing(self, name: str) -> None:
        logits, target = example()
        loss = built(name)
        before, gradient = with_gradient(loss, logits, target)
        changed = tf.where((target == IGNORE)[..., None], logits + 3.0, logits)
        assert with_gradient(loss, changed, target)[0] == before
        assert not gradient[0, :2].any()
        assert gradient[0, 2:].all()

    def test_nothing_to_count_is_no_loss_and_no_gradient(self, name: str) -> None:
        logits, target = example()
        nowhere = tf.fill(target.shape, tf.constant(IGNORE, tf.uint8))
        value, gradient = with_gradient(built(name), logits, nowhere)
        assert value == 0.0
        assert not gradient.any()

    def test_parts_add_up_to_the_whole(self, name: str) -> None:
        logits, target = example()
        loss = getattr(losses, name)()
        whole, parts = (
            loss(logits, target),
            [loss(logits[i : i + 1], target[i : i + 1]) for i in (0, 1)],
        )
        assert sum(int(part.count) for part in parts) == int(whole.count)
        total, weight = (
            sum(float(getattr(part, n)) for part in parts) for n in ("total", "weight")
        )
        assert total / weight == pytest.approx(float(mean(whole)), rel=1e-6)
        assert float(parts[0].weight) < float(parts[1].weight)

    def test_bfloat16_logits_are_computed_in_float32(self, name: str) -> None:
        logits, target = example()
        half = tf.cast(logits, tf.bfloat16)
        loss = built(name)
        result = loss(half, target)
        assert result.dtype == tf.float32
        assert result == loss(tf.cast(half, tf.float32), target)

    def test_integer_types_do_not_matter(self, name: str) -> None:
        logits, target = example()
        loss = built(name)
        assert loss(logits, target) == loss(logits, tf.cast(target, tf.int64))

    def test_great_logits_are_no_trouble(self, name: str) -> None:
        logits, target = example()
        value, gradient = with_gradient(built(name), logits * 1e4, target)
        assert math.isfinite(value)
        assert np.isfinite(gradient).all()


def test_weights_of_zero_for_all_pixels_are_no_loss() -> None:
    logits, target = example()
    loss = built("cross_entropy", class_weights=[0.0, 0.0, 1.0])
    value, gradient = with_gradient(loss, logits, tf.zeros_like(target))
    assert value == 0.0
    assert not gradient.any()


def test_smoothing_counts_the_other_classes_where_the_true_one_weighs_nothing() -> None:
    loss = built("cross_entropy", class_weights=[0.0, 0.0, 1.0], label_smoothing=0.3)
    value = loss(tf.zeros((1, 1, 1, 3)), tf.zeros((1, 1, 1), tf.uint8))
    assert float(value) == pytest.approx(0.3 / 3 * math.log(3))


def test_a_wrong_number_of_class_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"each of the 3 classes\. Received: \[1\.0, 2\.0\]"):
        built("cross_entropy", class_weights=[1.0, 2.0], num_classes=3)
