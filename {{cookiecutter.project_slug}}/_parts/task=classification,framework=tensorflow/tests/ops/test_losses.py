"""The loss against arithmetic done by hand, against Keras' own and against PyTorch's numbers."""

import math
from typing import Any

import numpy as np
import pytest

from ops import loss_functions, losses
from ops.weighted_loss import mean
from utils.framework import keras, tf

WEIGHTS = [1.0, 2.0, 0.5]


def built(name: str, *arguments: Any, **settings: Any) -> Any:
    """Return a loss that gives one number, of a batch that is not in parts."""
    loss = getattr(losses, name)(*arguments, **settings)
    return lambda logits, target: mean(loss(logits, target))


def example(shares: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Return logits [7, 3], and true classes [7] or shares [7, 3]."""
    draws = np.random.default_rng(0)
    logits = tf.constant(draws.uniform(-3, 3, (7, 3)).astype(np.float32))
    labels = draws.integers(0, 3, 7).astype(np.int32)
    mixed = draws.dirichlet([1.0, 1.0, 1.0], 7).astype(np.float32)
    return logits, tf.constant(mixed if shares else labels)


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
    logits = tf.constant([[0.0, 0.0], [2.0, 0.0]])
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    found = built("cross_entropy")(logits, tf.constant([1, 0]))
    assert float(found) == pytest.approx(expected)
    # Three quarters of the second sample are of class 0.
    expected += 0.25 * 2 / 2
    found = built("cross_entropy")(logits, tf.constant([[0.0, 1.0], [0.75, 0.25]]))
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_keras(shares: bool, smoothing: float) -> None:
    logits, target = example(shares)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    truth = target if shares else tf.one_hot(target, 3)
    ours = built("cross_entropy", label_smoothing=smoothing)
    value, gradient = with_gradient(ours, logits, target)
    expected, of_theirs = with_gradient(lambda x, y: theirs(y, x), logits, truth)
    assert value == pytest.approx(expected, rel=1e-6)
    assert gradient == pytest.approx(of_theirs, abs=1e-6)


def test_weighted_shares_are_averaged_by_the_weights_that_are_in_them() -> None:
    logits, target = example(shares=True)
    weighted = target * tf.constant(WEIGHTS)
    whole = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(weighted, logits))
    found = built("cross_entropy", class_weights=WEIGHTS)(logits, target)
    expected = float(whole / tf.reduce_sum(weighted))
    assert float(found) == pytest.approx(expected, rel=1e-6)


# Loss and norm of its gradient for `example(shares)`, by PyTorch 2.13.
BY_PYTORCH: list[tuple[bool, dict[str, Any], float, float]] = [
    (False, {}, 2.8486791, 0.36331213),
    (False, {"class_weights": WEIGHTS}, 2.6379211, 0.37323394),
    (False, {"class_weights": [0.0, 1.0, 1.0]}, 3.8245068, 0.59046674),
    (False, {"label_smoothing": 0.1}, 2.7658980, 0.33740401),
    (False, {"class_weights": WEIGHTS, "label_smoothing": 0.3}, 2.3700516, 0.29477528),
    (True, {}, 2.9664690, 0.30312920),
    (True, {"class_weights": WEIGHTS, "label_smoothing": 0.3}, 2.5620682, 0.26546761),
]


@pytest.mark.parametrize(("shares", "arguments", "value", "norm"), BY_PYTORCH)
def test_every_framework_has_the_same_numbers(
    shares: bool, arguments: dict[str, Any], value: float, norm: float
) -> None:
    ours, gradient = with_gradient(built("cross_entropy", **arguments), *example(shares))
    assert ours == pytest.approx(value, abs=1e-6)
    assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("arguments", [one for shares, one, *_ in BY_PYTORCH if not shares])
def test_a_class_is_a_whole_share(arguments: dict[str, Any]) -> None:
    logits, target = example()
    loss = built("cross_entropy", **arguments)
    value, gradient = with_gradient(loss, logits, target)
    again, of_shares = with_gradient(loss, logits, tf.one_hot(target, 3))
    assert again == value
    assert np.array_equal(of_shares, gradient)


@pytest.mark.parametrize("shares", [False, True])
def test_weights_of_zero_for_all_samples_are_no_loss(shares: bool) -> None:
    logits, labels = example()[0], tf.zeros(7, tf.int32)
    loss = built("cross_entropy", class_weights=[0.0, 0.0, 1.0])
    value, gradient = with_gradient(loss, logits, tf.one_hot(labels, 3) if shares else labels)
    assert value == 0.0
    assert not gradient.any()


def test_smoothing_counts_the_other_classes_where_the_true_one_weighs_nothing() -> None:
    loss = built("cross_entropy", class_weights=[0.0, 0.0, 1.0], label_smoothing=0.3)
    value = loss(tf.zeros((1, 3)), tf.zeros(1, tf.uint8))
    assert float(value) == pytest.approx(0.3 / 3 * math.log(3))


@pytest.mark.parametrize("shares", [False, True])
def test_bfloat16_logits_are_computed_in_float32(shares: bool) -> None:
    logits, target = example(shares)
    half = tf.cast(logits, tf.bfloat16)
    loss = built("cross_entropy", label_smoothing=0.1)
    result = loss(half, target)
    assert result.dtype == tf.float32
    assert result == loss(tf.cast(half, tf.float32), target)


@pytest.mark.parametrize("kind", [tf.uint8, tf.int16, tf.int64])
def test_integer_types_do_not_matter(kind: tf.DType) -> None:
    logits, target = example()
    loss = built("cross_entropy")
    assert loss(logits, tf.cast(target, kind)) == loss(logits, target)


def test_great_logits_are_no_trouble() -> None:
    logits, target = example()
    value, gradient = with_gradient(built("cross_entropy"), logits * 1e4, target)
    assert math.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_weights": [1.0, 2.0]}, r"each of the 3 classes\. Received: \[1\.0, 2\.0\]"),
        ({"class_weights": [1.0, -1.0, 1.0]}, r"0 or greater.* Received: \[1\.0, -1\.0, 1\.0\]"),
        ({"class_weights": [0.0, 0.0, 0.0]}, r"not all of them 0\. Received: "),
        ({"label_smoothing": 1.5}, r"`label_smoothing` must be between 0 and 1\. Received: 1\.5"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built("cross_entropy", num_classes=3, **arguments)


@pytest.mark.parametrize("shares", [False, True])
def test_parts_add_up_to_the_whole(shares: bool) -> None:
    logits, target = example(shares)
    loss = losses.cross_entropy(class_weights=WEIGHTS, label_smoothing=0.1)
    whole, parts = (
        loss(logits, target),
        [loss(logits[:3], target[:3]), loss(logits[3:], target[3:])],
    )
    total, weight = (sum(float(getattr(part, n)) for part in parts) for n in ("total", "weight"))
    assert total / weight == pytest.approx(float(mean(whole)), rel=1e-6)
