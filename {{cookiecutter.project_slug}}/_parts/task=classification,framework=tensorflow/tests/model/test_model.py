"""The network: shapes and sizes, and the numbers that it computes; what a model may return."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from model.convnet import ConvNet
from model.keras_layers import BatchNormalization
from ops.losses import cross_entropy
from ops.task import ModelIO
from ops.weighted_loss import mean
from utils.errors import UserError
from utils.framework import keras, tf

IO = ModelIO(num_classes=3, image_size=(4, 5), mean=[0.5], std=[0.25], auxiliary_weight=0.4)


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


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (37, 50), (1, 9), (1, 1)])
def test_convnet_returns_logits_for_images_of_any_size(
    size: tuple[int, int], channels: int
) -> None:
    model = ConvNet(num_classes=5, in_channels=channels, widths=(4, 8, 12), dropout=0.5)
    assert model(tf.zeros((2, *size, channels)), training=True).shape == (2, 5)


def test_convnet_sizes() -> None:
    assert size_of(ConvNet(num_classes=10, in_channels=1)) == 72_666
    assert size_of(ConvNet(num_classes=3, widths=(32, 64, 128, 256))) == 1_173_987


def test_convnet_of_one_level_and_other_kernel() -> None:
    model = ConvNet(num_classes=2, widths=(4,), kernel_size=5)
    assert size_of(model) == 4 * 3 * 25 + 8 + 4 * 4 * 25 + 8 + 4 * 2 + 2
    assert model(tf.zeros((1, 7, 9, 3))).shape == (1, 2)


def test_pooling_keeps_the_last_row_and_column_and_adds_nothing() -> None:
    pooled = ConvNet(num_classes=2).pool(tf.reshape(tf.range(-9.0, 0.0), (1, 3, 3, 1)))
    assert pooled[0, ..., 0].numpy().tolist() == [[-5.0, -4.0], [-2.0, -1.0]]


def test_sizes_may_be_unknown_until_the_call() -> None:
    model = ConvNet(num_classes=2, widths=(4, 8))
    any_size = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    images = tf.random.stateless_normal((1, 5, 8, 3), seed=(0, 0))
    assert np.allclose(any_size(images), model(images), atol=1e-6)


def test_convnet_computes_what_it_does_in_every_framework() -> None:
    model = ConvNet(num_classes=2, in_channels=1, widths=(2, 3, 2))
    draws = np.random.default_rng(0)
    for variable in model.variables:
        low, high = (-1.0, 1.0) if len(variable.shape) >= 2 else (0.5, 1.5)
        variable.assign(draws.uniform(low, high, variable.shape))
    images = draws.uniform(-1.0, 1.0, (2, 3, 5, 1)).astype(np.float32)
    # By PyTorch 2.13: the logits of both images in evaluation and training, and the statistics of
    # the last normalisation after it.
    evaluated = [2.6064000, 1.6804357, 1.0922203, 0.5381525]
    trained = [1.9192557, 0.4689818, 2.0600021, 0.1109675]
    assert model(images).numpy().ravel() == pytest.approx(evaluated, abs=1e-5)
    assert model(images, training=True).numpy().ravel() == pytest.approx(trained, abs=1e-5)
    after, norm = values_of(model), "level_2/second/norm"
    assert after[f"{norm}/moving_mean"] == pytest.approx([0.7084839, 1.0207070], abs=1e-5)
    assert after[f"{norm}/moving_variance"] == pytest.approx([0.8641244, 0.7262217], abs=1e-5)


def test_the_gradient_reaches_every_parameter() -> None:
    keras.utils.set_random_seed(0)
    model = ConvNet(num_classes=3, widths=(4, 8, 12), dropout=0.3)
    with tf.GradientTape() as tape:
        logits = model(tf.random.stateless_normal((8, 9, 9, 3), seed=(0, 0)), training=True)
        loss = mean(cross_entropy()(logits, tf.range(8) % 3))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert gradient.numpy().any(), variable.path


def test_names_are_those_of_the_places_and_do_not_count_earlier_models() -> None:
    def names() -> list[str]:
        model = ConvNet(num_classes=2, widths=(4, 8), dropout=0.5)
        return [variable.path for variable in model.variables]

    first = names()
    assert len(set(first)) == len(first)
    assert names() == first
    assert {"level_1/first/conv/kernel", "head/kernel", "head/bias"} < set(first)


def test_new_weights_are_spread_as_in_pytorch() -> None:
    keras.utils.set_random_seed(0)
    values = values_of(ConvNet(num_classes=100, in_channels=4, widths=(64,), kernel_size=5))
    first = values["level_0/first/conv/kernel"]
    assert np.abs(first).max() == pytest.approx(100**-0.5, rel=0.01)
    for head in (values["head/kernel"], values["head/bias"]):
        assert np.abs(head).max() == pytest.approx(64**-0.5, rel=0.05)
        assert head.std() == pytest.approx((3 * 64) ** -0.5, rel=0.15)


def test_dropout_drops_features_in_training_only() -> None:
    keras.utils.set_random_seed(0)
    model = ConvNet(num_classes=8, widths=(8,), dropout=0.5)
    model.head.kernel.assign(np.eye(8))
    model.head.bias.assign(np.ones(8))
    for layer in model.levels[0].links:
        if isinstance(layer, BatchNormalization):  # so that features are 1
            layer.beta.assign(np.ones(8))
            layer.gamma.assign(np.zeros(8))
    images = tf.zeros((16, 4, 4, 3))
    logits = model(images, training=True).numpy()
    assert np.array_equal(np.unique(logits), [1.0, 3.0])
    assert not np.array_equal(logits, model(images, training=True))
    assert np.array_equal(np.unique(model(images)), [2.0])


def test_logits_are_float32_in_any_precision(bfloat16: None) -> None:
    images = tf.random.stateless_normal((1, 32, 32, 3), seed=(0, 0))
    model = ConvNet(2, widths=(4, 8), dropout=0.5)
    assert model(images, training=True).dtype == tf.float32
    weights = {variable.dtype for variable in model.weights}
    assert weights == {"float32"}
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
        ConvNet(**{"num_classes": 3, **arguments})


def returned() -> tuple[tf.Tensor, tf.Tensor, dict[str, Any]]:
    """Return logits and auxiliary logits [2, 3], and three ways to return them from a model."""
    logits = tf.constant([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0]])
    other = tf.constant([[0.0, 1.0, 4.0], [5.0, 0.0, 0.0]])
    ways = {
        "tensor": logits,
        "tuple": (logits, other),
        "dictionary": {"a": other, "logits": logits},
    }
    return logits, other, ways


@pytest.mark.parametrize("way", ["tensor", "tuple", "dictionary"])
def test_auxiliary_outputs_count_in_the_loss_alone(way: str) -> None:
    logits, other, ways = returned()
    labels, loss = np.array([0, 2], np.int32), cross_entropy()
    IO.check(ways[way])
    truth = tf.constant(labels)
    beside = 0.0 if way == "tensor" else 0.4 * float(mean(loss(other, truth)))
    found = mean(IO.loss(loss, ways[way], {"label": labels}))  # an array, as evaluations have it
    assert float(found) == pytest.approx(float(mean(loss(logits, truth))) + beside, rel=1e-6)
    prediction = IO.predict(ways[way])
    assert prediction["label"].numpy().tolist() == [0, 2]
    assert np.array_equal(prediction["probabilities"], tf.nn.softmax(logits))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            tf.zeros((2, 4)),
            r"'logits' has the shape \[2, 4\] for images of 4x5; expected \[batch, 3",
        ),
        (tf.zeros((2, 3, 1)), r"'logits' has the shape \[2, 3, 1\]"),
        ((tf.zeros((2, 3)), tf.zeros((2, 7))), r"'\[1\]' has the shape \[2, 7\]"),
        ({"logits": tf.zeros((2, 3)), "coarse": tf.zeros(2)}, r"'coarse' has the shape \[2\]"),
        ({"coarse": tf.zeros((2, 3))}, "dictionary of coarse; one of its names must be 'logits'"),
        ("text", "'logits' has a str"),
    ],
)
def test_outputs_of_another_form_are_refused_by_name(outputs: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        IO.check(outputs)


def test_any_precision_and_integer_type_gives_the_same_kinds_of_numbers() -> None:
    labels = tf.constant([0, 2], tf.uint8)
    half = tf.cast(returned()[0], tf.bfloat16)
    seen: list[tf.DType] = []

    def loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        seen.extend((logits.dtype, target.dtype))
        return tf.reduce_sum(logits)

    for target in (labels, tf.one_hot(labels, 3)):
        IO.loss(loss, half, {"label": target})
    assert seen == [tf.float32, tf.int32, tf.float32, tf.float32]
    prediction = IO.predict(half)
    assert prediction["label"].dtype == tf.int32
    assert prediction["probabilities"].dtype == tf.float32
    assert prediction["probabilities"].numpy().sum(axis=1) == pytest.approx([1.0, 1.0])
