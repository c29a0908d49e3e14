"""Optimizers and schedules: the same numbers as PyTorch's, and as what they are said to compute."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ops import lr_schedules as schedules
from ops import optimizers
from ops.parameter_groups import ParameterGroup
from utils.framework import keras, tf


def parameters() -> list[keras.Variable]:
    """Return a matrix, a bias and a matrix that is never given a gradient."""
    draws = np.random.default_rng(0)
    return [
        keras.Variable(draws.normal(size=shape), dtype="float32")
        for shape in ((3, 2), (3,), (2, 2))
    ]


def trained(optimizer: keras.optimizers.Optimizer, given: list[keras.Variable]) -> list[np.ndarray]:
    """Return the parameters after 20 updates with made-up gradients and falling rates."""
    draws = np.random.default_rng(0)
    for variable in given:
        draws.normal(size=variable.shape)
    rate = float(optimizer.learning_rate.numpy())
    for update in range(20):
        gradients = [draws.normal(size=v.shape).astype(np.float32) for v in given[:2]]
        optimizer.learning_rate.assign(rate * (1 - update / 40))
        optimizer.apply([tf.constant(gradient) for gradient in gradients], given[:2])
    return [variable.numpy() for variable in given]


@pytest.mark.parametrize(
    ("build", "matrix", "bias"),
    [
        (
            lambda p: optimizers.adam(p, learning_rate=0.1, beta1=0.8, beta2=0.9, epsilon=1e-6),
            [0.5615629, -0.42053106, 0.77828294, 0.18175226, -0.74538726, 0.97657698],
            [0.63334447, 0.55940914, -0.96837443],
        ),
        (
            lambda p: optimizers.adam(p, epsilon=0.1),
            [0.12963587, -0.1341871, 0.64158696, 0.10578587, -0.5376454, 0.36734208],
            [1.2977536, 0.94286644, -0.70711696],
        ),
        (
            lambda p: optimizers.adamw(p, learning_rate=0.01, weight_decay=0.3),
            [0.16598314, -0.14997472, 0.62433183, 0.11053916, -0.5315128, 0.40764919],
            [1.2340686, 0.90313548, -0.74000406],
        ),
        (
            lambda p: optimizers.sgd(p, learning_rate=0.1, weight_decay=0.1),
            [0.27191302, -0.33999652, 0.69433004, 0.029867856, -0.81787401, 0.88383263],
            [0.91828805, 0.60206211, -0.88602787],
        ),
        (
            lambda p: optimizers.sgd(p, learning_rate=0.1, momentum=0.9),
            [1.206398, -2.1310596, 1.5577977, 0.03257674, -2.8783271, 4.0577316],
            [-1.7344395, -1.6290843, -2.105365],
        ),
        (
            lambda p: optimizers.sgd(
                p, learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.2
            ),
            [0.40795216, -1.287832, 0.72265893, -0.18243001, -1.4673631, 2.2014019],
            [-1.8163074, -1.7164867, -2.1474953],
        ),
    ],
    ids=["adam", "epsilon", "adamw", "sgd", "momentum", "nesterov"],
)
def test_plain_names_equal_pytorch(
    build: Callable[[list[keras.Variable]], keras.optimizers.Optimizer],
    matrix: list[float],
    bias: list[float],
) -> None:
    """The numbers are those of PyTorch's own optimizers for the same gradients and rates."""
    given = parameters()
    before = given[2].numpy()
    found = trained(build(given), given)
    np.testing.assert_allclose(found[0].ravel(), matrix, rtol=1e-6, atol=5e-7)
    np.testing.assert_allclose(found[1], bias, rtol=1e-6, atol=5e-7)
    np.testing.assert_array_equal(found[2], before)


def test_decoupled_decay_by_hand() -> None:
    weight, bias = keras.Variable(tf.ones((1, 1))), keras.Variable(tf.ones(1))
    optimizer = optimizers.adamw([weight, bias], learning_rate=0.1, weight_decay=0.5)
    optimizer.apply([tf.zeros((1, 1)), tf.zeros(1)], [weight, bias])
    assert weight.numpy().item() == pytest.approx(1 - 0.1 * 0.5)
    assert bias.numpy().item() == 1.0


@pytest.mark.parametrize(
    "build",
    [
        lambda: optimizers.adam([]),
        lambda: optimizers.adam(parameters(), learning_rate=-1.0),
        lambda: optimizers.adamw(parameters(), beta1=1.0),
        lambda: optimizers.adamw(parameters(), weight_decay=-1.0),
        lambda: optimizers.sgd(parameters(), weight_decay=-1.0),
        lambda: optimizers.sgd(parameters(), nesterov=True),
    ],
)
def test_impossible_settings_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="Argument `"):
        build()


# What PyTorch's own optimizers give with such groups. The same numbers stand in the test of
# the other framework.
ADAMW_IN_GROUPS = [
    [0.097827658, -0.10139797, 0.64015514, 0.077135056, -0.46657044, 0.29695696],
    [1.3138218, 0.93366349, -0.73483688],
    [-1.2564276, -0.62222373, 0.038089808, -2.3088648],
]
SGD_IN_GROUPS = [
    [-1.8098793, -0.1498525, 1.067965, -0.91168219, 1.3259281, -0.97109145],
    [2.528806, 0.59971601, -1.2217346],
    [-0.82181484, -0.52585417, -0.046673901, -1.4198862],
]


def updated_in_groups(build: Callable[..., keras.optimizers.Optimizer]) -> list[list[float]]:
    """Return parameters after 20 updates with made-up gradients and falling rates.

    A matrix and a bias are in the first group, a matrix in the second.
    """
    draws = np.random.default_rng(0)
    shapes = ((3, 2), (3,), (2, 2))
    given = [keras.Variable(draws.normal(size=shape), dtype="float32") for shape in shapes]
    optimizer = build(
        [ParameterGroup(given[:2]), ParameterGroup(given[2:], rate=0.1, weight_decay=0.5)]
    )
    schedule = schedules.linear(optimizer, total_steps=40)
    for update in range(20):
        optimizer.learning_rate.assign(schedule(update))
        gradients = [draws.normal(size=v.shape).astype(np.float32) for v in given]
        optimizer.apply([tf.constant(gradient) for gradient in gradients], given)
    return [variable.numpy().ravel().tolist() for variable in given]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (
            lambda groups: optimizers.adamw(groups, learning_rate=0.01, weight_decay=0.3),
            ADAMW_IN_GROUPS,
        ),
        (
            lambda groups: optimizers.sgd(
                groups, learning_rate=0.1, momentum=0.9, weight_decay=0.1
            ),
            SGD_IN_GROUPS,
        ),
    ],
    ids=["adamw", "sgd"],
)
def test_groups_have_rates_and_decays_of_their_own(
    build: Callable[..., keras.optimizers.Optimizer], expected: list[list[float]]
) -> None:
    for mine, reference in zip(updated_in_groups(build), expected, strict=True):
        assert mine == pytest.approx(reference, rel=1e-6, abs=5e-7)


def rates(schedule: Callable[..., Any], updates: int, **settings: Any) -> list[float]:
    """Return the learning rate of each update, from a rate of 1."""
    optimizer = optimizers.sgd(parameters(), learning_rate=1.0)
    scheduler = schedule(optimizer, **settings)
    return [scheduler(update) for update in range(updates)]


def test_schedules_by_hand() -> None:
    assert rates(schedules.constant, 4, warmup_steps=2) == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert rates(schedules.cosine, 6, total_steps=5, warmup_steps=1, floor=0.2) == pytest.approx(
        [0.5, 1.0, 0.2 + 0.8 * (2 + 2**0.5) / 4, 0.6, 0.2 + 0.8 * (2 - 2**0.5) / 4, 0.2]
    )
    assert rates(schedules.linear, 5, total_steps=4) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert rates(schedules.step, 5, milestones=[2, 4], gamma=0.5) == [1, 1, 0.5, 0.5, 0.25]


def test_a_rate_is_the_number_that_was_configured() -> None:
    optimizer = optimizers.adam(parameters(), learning_rate=3e-3)
    assert schedules.constant(optimizer)(0) == 3e-3  # though Keras keeps it in float32
