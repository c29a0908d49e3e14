"""MobileNetV2 and its U-Net: sizes, published names and weights, an encoder that stays frozen."""

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from model.mobilenet_unet import MobileNetUNet, doubling
from model.mobilenet_v2 import MobileNetV2
from utils.errors import UserError
from utils.framework import keras, tf


def values_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Return copies of all variables by name."""
    return {variable.path: variable.numpy().copy() for variable in model.variables}


def size_of(model: keras.Model) -> int:
    """Return the number of parameters; the statistics of normalisation are none."""
    return sum(a.size for name, a in values_of(model).items() if "/moving_" not in name)


def write_h5(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Write weights named layer/weight as Keras 2 did, in the order of the dictionary."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in weights.items():
        layer = name.partition("/")[0]
        layers.setdefault(layer, {})[f"{name}:0"] = array
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs["keras_version"] = b"2.2.0"
        file.attrs["backend"] = b"tensorflow"
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, array in arrays.items():
                group[name] = array


@pytest.fixture(scope="module")
def encoder() -> MobileNetV2:
    """An encoder with random weights."""
    keras.utils.set_random_seed(0)
    return MobileNetV2()


def small() -> MobileNetUNet:
    """A network with a narrow decoder."""
    return MobileNetUNet(num_classes=2, up_widths=(11, 7, 5, 3))


@pytest.fixture(scope="module")
def network() -> MobileNetUNet:
    """A network that nothing changes."""
    return small()


def test_mobilenet_unet_sizes(network: MobileNetUNet) -> None:
    steps = ((320, 11), (11 + 576, 7), (7 + 192, 5), (5 + 144, 3))
    decoder = sum(9 * before * after + 2 * after for before, after in steps)
    head = 9 * (3 + 96) * 2 + 2
    assert size_of(network) == size_of(network.encoder) + decoder + head


def test_mobilenet_unet_returns_logits_of_the_images_size() -> None:
    model = MobileNetUNet(num_classes=5, up_widths=(16, 8, 8, 4), kernel_size=4)
    for size in ((64, 64), (33, 70)):
        assert model(tf.zeros((1, *size, 3))).shape == (1, *size, 5)


def test_published_names_and_shapes(encoder: MobileNetV2) -> None:
    names = {name: array.shape for name, array in values_of(encoder).items()}
    # The network without its top has 260 weights and 2,223,872 parameters; 5 weights with 412,160
    # parameters of those belong to Conv_1 and Conv_1_bn, which only classification needs.
    assert len(names) == 260 - 5
    assert size_of(encoder) == 2_223_872 - 412_160
    assert names["Conv1/kernel"] == (3, 3, 3, 32)
    assert names["bn_Conv1/moving_mean"] == (32,)
    assert names["expanded_conv_depthwise/kernel"] == (3, 3, 32, 1)
    assert names["expanded_conv_project/kernel"] == (1, 1, 32, 16)
    assert names["expanded_conv_project_BN/beta"] == (16,)
    assert names["block_1_expand/kernel"] == (1, 1, 16, 96)
    assert names["block_1_depthwise/kernel"] == (3, 3, 96, 1)
    assert names["block_1_project/kernel"] == (1, 1, 96, 24)
    assert names["block_13_depthwise_BN/gamma"] == (576,)
    assert names["block_16_project_BN/moving_variance"] == (320,)


def test_features_have_the_stated_sizes(encoder: MobileNetV2) -> None:
    features = encoder(tf.zeros((1, 128, 128, 3)))
    assert [tuple(f.shape[1:]) for f in features] == [
        (64, 64, 96),
        (32, 32, 144),
        (16, 16, 192),
        (8, 8, 576),
        (4, 4, 320),
    ]


def test_residuals_are_added_where_the_shape_stays(encoder: MobileNetV2) -> None:
    adds_input = {layer.name for layer in encoder.features.layers if layer.name.endswith("_add")}
    assert adds_input == {f"block_{n}_add" for n in (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)}


@pytest.mark.parametrize("suffix", [".safetensors", ".h5"])
def test_published_weights_load(encoder: MobileNetV2, tmp_path: Path, suffix: str) -> None:
    weights = {
        **values_of(encoder),
        "Conv_1/kernel": np.zeros((1, 1, 320, 1280), np.float32),
        **{f"Conv_1_bn/{n}": np.ones(1280, np.float32) for n in ("gamma", "beta", "m", "v")},
    }
    path = tmp_path / f"mobilenet_v2{suffix}"
    if suffix == ".h5":
        write_h5(path, weights)
        theirs = keras.applications.MobileNetV2(include_top=False, weights=str(path))
        for name, array in values_of(encoder).items():
            layer, weight = name.split("/")
            assert np.array_equal(getattr(theirs.get_layer(layer), weight).numpy(), array)
    else:
        save_file(weights, path)
    model = MobileNetUNet(num_classes=2, up_widths=(8, 8, 8, 8), weights=str(path))
    for name, array in values_of(model.encoder).items():
        assert np.array_equal(array, weights[name.removeprefix("encoder/")])


def test_the_encoder_of_a_run_loads(encoder: MobileNetV2, tmp_path: Path) -> None:
    weights = {f"encoder/{name}": array for name, array in values_of(encoder).items()}
    weights["head/conv/bias"] = np.zeros(7, np.float32)
    save_file(weights, tmp_path / "model.safetensors")
    other = MobileNetV2()
    other.load_weights(str(tmp_path / "model.safetensors"))
    for name, array in values_of(other).items():
        assert np.array_equal(array, weights[f"encoder/{name}"])


def test_wrong_weights_are_named(encoder: MobileNetV2, tmp_path: Path) -> None:
    weights = values_of(encoder)
    del weights["Conv1/kernel"]
    weights["expanded_conv_project_BN/beta"] = np.zeros(8, np.float32)
    weights |= {f"layer_{index}/kernel": np.zeros(1, np.float32) for index in range(9)}
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(UserError) as caught:
        encoder.load_weights(str(tmp_path / "w.safetensors"))
    message = str(caught.value)
    assert "1 missing: Conv1/kernel" in message
    assert "layer_0/kernel, layer_1/kernel, layer_2/kernel, and 6 more" in message
    assert "expanded_conv_project_BN/beta [8] instead of [16]" in message
    assert "layer_3" not in message


def test_another_network_s_published_weights_are_refused(
    encoder: MobileNetV2, tmp_path: Path
) -> None:
    write_h5(tmp_path / "w.h5", dict(reversed(values_of(encoder).items())))
    with pytest.raises(UserError, match=r"of another shape: Conv1/kernel \[320\] instead of"):
        encoder.load_weights(str(tmp_path / "w.h5"))
    write_h5(tmp_path / "w.h5", dict(list(values_of(encoder).items())[:-1]))
    with pytest.raises(UserError, match="1 missing: block_16_project_BN/moving_variance"):
        encoder.load_weights(str(tmp_path / "w.h5"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.h5", b"no weights at all"),
        ("w.h5", b""),
        ("w.safetensors", b"no weights at all"),
        ("w.h5", None),
    ],
)
def test_unreadable_weights_are_the_users_mistake(
    encoder: MobileNetV2, tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        encoder.load_weights(str(tmp_path / name))


def test_files_that_run_code_are_refused(encoder: MobileNetV2, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"epoch": 3}))
    with pytest.raises(UserError, match="cannot be read as weights"):
        encoder.load_weights(str(tmp_path / "w.pth"))
    h5py.File(tmp_path / "w.h5", "w").close()
    with pytest.raises(UserError, match="cannot be read as weights"):
        encoder.load_weights(str(tmp_path / "w.h5"))


def test_a_frozen_encoder_does_not_change() -> None:
    keras.utils.set_random_seed(0)
    model = MobileNetUNet(num_classes=2, up_widths=(8, 8, 8, 8), freeze_encoder=True)
    before = values_of(model)
    optimizer = keras.optimizers.SGD(learning_rate=0.1, weight_decay=0.1)
    with tf.GradientTape() as tape:
        images = tf.random.stateless_normal((2, 64, 64, 3), seed=(0, 0))
        loss = tf.reduce_mean(tf.square(model(images, training=True)))
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
    after = values_of(model)
    changed = {name for name in before if not np.array_equal(after[name], before[name])}
    assert changed == {name for name in before if not name.startswith("encoder/")}
    assert model.encoder.trainable_variables == []


def test_names_are_those_of_the_places_and_do_not_count_earlier_models(
    network: MobileNetUNet,
) -> None:
    names = [variable.path for variable in network.variables]
    assert len(set(names)) == len(names)
    assert names == [variable.path for variable in small().variables]
    assert {"encoder/Conv1/kernel", "decoder_4/conv/kernel", "decoder_1/norm/gamma"} < set(names)
    assert "head/conv/bias" in names


def test_new_weights_are_spread_as_in_pytorch(encoder: MobileNetV2) -> None:
    values = values_of(encoder)
    assert values["block_16_project/kernel"].std() == pytest.approx((2 / 320) ** 0.5, rel=0.02)
    assert values["block_16_depthwise/kernel"].std() == pytest.approx((2 / 8640) ** 0.5, rel=0.03)


def test_logits_are_float32_in_any_precision() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy(before)
    images = tf.random.stateless_normal((1, 32, 32, 3), seed=(0, 0))
    assert model(images, training=True).dtype == tf.float32
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert model.compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"up_widths": (8, 8)}, "up_widths"),
        ({"kernel_size": 1}, "kernel_size"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"Argument `{name}` must .* Received: "):
        MobileNetUNet(**{"num_classes": 3, **arguments})


def test_new_weights_that_double_are_spread_as_in_pytorch() -> None:
    keras.utils.set_random_seed(0)
    kernel = doubling(8, 16, kernel_size=4).kernel.numpy()
    assert np.abs(kernel).max() == pytest.approx(256**-0.5, rel=0.01)


@pytest.mark.parametrize(("kernel_size", "reach"), [(2, (4, 5)), (3, (4, 6)), (4, (3, 6))])
def test_where_a_pixel_goes_when_the_size_is_doubled(
    kernel_size: int, reach: tuple[int, int]
) -> None:
    layer = doubling(1, 1, kernel_size, bias=False)
    layer.kernel.assign(np.ones((kernel_size, kernel_size, 1, 1)))
    enlarged = layer(tf.one_hot([[2] * 5], 5)[..., None]).numpy()[0, 5, :, 0]
    assert enlarged.shape == (10,)
    assert (enlarged.nonzero()[0][0], enlarged.nonzero()[0][-1]) == reach
