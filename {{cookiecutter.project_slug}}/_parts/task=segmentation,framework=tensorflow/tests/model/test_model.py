"""The network: shapes and sizes, and the numbers that it computes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from model.keras_layers import BatchNormalization
from model.layers import pad_to_multiple
from model.unet import UNet
from utils.framework import keras, tf


def values_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Return copies of all variables by name."""
    return {variable.path: variable.numpy().copy() for variable in model.variables}


def size_of(model: keras.Model) -> int:
    """Return the number of parameters; the statistics of normalisation are none."""
    return sum(a.size for name, a in values_of(model).items() if "/moving_" not in name)


@pytest.fixture
def bfloat16() -> Iterator[None]:
    """What is built in the test computes in bfloat16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (1, 9)])
def test_unet_returns_logits_of_the_images_size(size: tuple[int, int]) -> None:
    model = UNet(num_classes=4, in_channels=2, widths=(4, 8, 12), dropout=0.5)
    assert model(tf.zeros((2, *size, 2)), training=True).shape == (2, *size, 4)


def test_unet_sizes() -> None:
    assert size_of(UNet(num_classes=3)) == 450_403
    assert size_of(UNet(num_classes=3, widths=(32, 64, 128, 256))) == 1_797_827


def test_unet_of_one_level_and_other_kernel() -> None:
    model = UNet(num_classes=2, widths=(4,), kernel_size=5)
    assert model(tf.zeros((1, 7, 9, 3))).shape == (1, 7, 9, 2)


def test_padding_does_not_move_the_image() -> None:
    model = UNet(num_classes=2, widths=(4, 8))
    images = tf.random.stateless_normal((1, 15, 15, 3), seed=(0, 0))
    padded = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    assert np.array_equal(model(images), model(padded)[:, :15, :15])


def test_sizes_may_be_unknown_until_the_call() -> None:
    model = UNet(num_classes=2, widths=(4, 8))
    any_size = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    images = tf.random.stateless_normal((1, 5, 8, 3), seed=(0, 0))
    assert np.allclose(any_size(images), model(images), atol=1e-6)
    assert pad_to_multiple(images, 1) is images


def test_unet_computes_what_it_does_in_every_framework() -> None:
    model = UNet(num_classes=2, in_channels=1, widths=(2, 3))
    draws = np.random.default_rng(0)
    for variable in model.variables:
        low, high = (-1.0, 1.0) if len(variable.shape) == 4 else (0.5, 1.5)
        variable.assign(draws.uniform(low, high, variable.shape))
    images = draws.uniform(-1.0, 1.0, (2, 3, 5, 1)).astype(np.float32)
    # By PyTorch 2.13: the last row of the second image in evaluation and training, and the
    # statistics of the last normalisation after it.
    evaluated = [
        *(0.2737291, 1.1673164, 0.685429, 0.6598328, 0.7663774),
        *(0.8619547, -0.3207134, 3.0754502, -0.3321172, 2.1141741),
    ]
    trained = [
        *(0.105112, 1.6261036, 0.3026554, 1.3017689, 0.0512902),
        *(1.7544925, -0.0702063, 1.7445021, 0.0642856, 1.5800307),
    ]
    assert model(images)[1, 2].numpy().ravel() == pytest.approx(evaluated, abs=1e-5)
    assert model(images, training=True)[1, 2].numpy().ravel() == pytest.approx(trained, abs=1e-5)
    after = values_of(model)
    norm = "decoder_0/second/norm"
    assert after[f"{norm}/moving_mean"] == pytest.approx([0.6372674, 1.1245705], abs=1e-5)
    assert after[f"{norm}/moving_variance"] == pytest.approx([1.8712665, 1.0701387], abs=1e-5)


def test_names_are_those_of_the_places_and_do_not_count_earlier_models() -> None:
    def names() -> list[str]:
        model = UNet(num_classes=2, widths=(4, 8), dropout=0.5)
        return [variable.path for variable in model.variables]

    first = names()
    assert len(set(first)) == len(first)
    assert names() == first
    assert "head/conv/bias" in first


def test_new_weights_are_spread_as_in_pytorch() -> None:
    keras.utils.set_random_seed(0)
    values = values_of(UNet(num_classes=3, in_channels=4, kernel_size=5))
    first, head = values["encoder_0/first/conv/kernel"], values["head/conv/bias"]
    assert np.abs(first).max() == pytest.approx(100**-0.5, rel=0.01)
    assert first.std() == pytest.approx(300**-0.5, rel=0.05)
    assert 0 < np.abs(head).max() < 0.25


def test_dropout_drops_whole_channels_in_training_only() -> None:
    keras.utils.set_random_seed(0)
    model = UNet(num_classes=8, widths=(8,), dropout=0.5)
    model.head.kernel.assign(np.eye(8)[None, None])
    model.head.bias.assign(np.ones(8))
    for layer in model.down[0].links:
        if isinstance(layer, BatchNormalization):
            layer.beta.assign(np.ones(8))
            layer.gamma.assign(np.zeros(8))
    images = tf.zeros((16, 4, 4, 3))
    logits = model(images, training=True).numpy()
    assert np.array_equal(np.unique(logits), [1.0, 3.0])
    assert (logits == logits[:, :1, :1]).all()
    assert not np.array_equal(logits, model(images, training=True))
    assert np.array_equal(np.unique(model(images)), [2.0])


def test_normalisation_is_that_of_keras() -> None:
    ours = BatchNormalization(3)
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    images = tf.random.stateless_normal((4, 16, 16, 3), seed=(0, 0)) * 3.0 + 1.0
    for _ in range(2):
        expected = theirs(images, training=True).numpy()
        assert ours(images, training=True).numpy() == pytest.approx(expected, abs=1e-5)
    assert ours.moving_mean.numpy() == pytest.approx(theirs.moving_mean.numpy(), abs=1e-6)
    # Keras keeps the variance of the pixels, PyTorch that of all pixels there might have been.
    pixels, kept = 4 * 16 * 16, 0.9**2
    expected = kept + (theirs.moving_variance.numpy() - kept) * pixels / (pixels - 1)
    assert ours.moving_variance.numpy() == pytest.approx(expected, rel=1e-5)
    theirs.moving_variance.assign(ours.moving_variance)
    assert ours(images).numpy() == pytest.approx(theirs(images).numpy(), abs=1e-5)


def test_logits_are_float32_in_any_precision(bfloat16: None) -> None:
    images = tf.random.stateless_normal((1, 32, 32, 3), seed=(0, 0))
    model = UNet(2, widths=(4, 8))
    assert model(images, training=True).dtype == tf.float32
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert model.compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"in_channels": 0}, "in_channels"),
        ({"widths": ()}, "widths"),
        ({"widths": (8, 0)}, "widths"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"Argument `{name}` must .* Received: "):
        UNet(**{"num_classes": 3, **arguments})
