"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381) as an encoder for segmentation.

It is `keras.applications.MobileNetV2` as far as segmentation needs it, so that the weights that
Keras publishes for that load here:
`mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5` (ImageNet-1k) from
storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2, or any .safetensors with the
names of Keras, such as a run's own. Those of Keras were trained on images from -1 to 1, that is
normalised with mean (0.5, 0.5, 0.5) and standard deviation (0.5, 0.5, 0.5).
"""

import io

import h5py
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from model.keras_layers import BatchNormalization
from model.mobilenet_weights import check_shapes
from utils import storage
from utils.checks import check
from utils.errors import UserError
from utils.framework import keras, tf

# Inside a block that halves the size are the last features before, and the widest.
_TAPS = (*(f"block_{number}_expand_relu" for number in (1, 3, 6, 13)), "block_16_project_BN")
# Of the published weights, what only classification needs.
_UNUSED = ("Conv_1/", "Conv_1_bn/", "predictions/")


class MobileNetV2(keras.Model):
    """Encode images to features at a half down to a thirty-second of their size.

    Args:
        in_channels: Channels of the images, 1 or more; published weights need 3.

    Raises:
        ValueError: If `in_channels` is below 1.
    """

    stride = 32
    """Height and width of the images must be multiples of this."""
    out_channels = (96, 144, 192, 576, 320)
    """Channels of the features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(name="mobilenet_v2")
        check("in_channels", in_channels, in_channels >= 1, "be at least 1")
        published = keras.applications.MobileNetV2(
            input_tensor=keras.Input((None, None, in_channels)), include_top=False, weights=None
        )
        taps = [published.get_layer(name).output for name in _TAPS]
        self.features = keras.models.clone_model(
            keras.Model(published.input, taps), clone_function=_own_layer
        )
        self.built = True

    def call(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Return features [B, H / 2^(i+1), W / 2^(i+1), out_channels[i]] for images [B, H, W, C].

        In Keras these are called block_1_expand_relu, block_3_expand_relu, block_6_expand_relu,
        block_13_expand_relu and block_16_project_BN.
        """
        features: list[tf.Tensor] = self.features(images)
        return features

    def load_weights(self, path: str) -> None:
        """Load published weights.

        Args:
            path: File or URL of a .safetensors, or of an .h5 as Keras publishes them.

        Raises:
            UserError: If the file is missing or unreadable, or holds another network's weights.
        """
        own = {
            f"{layer.name}/{variable.name}": variable
            for layer in self.features.layers
            for variable in layer.weights
        }
        weights = _read(path, list(own))
        check_shapes(path, weights, own, "the weights of MobileNetV2 with Keras' names")
        for name, variable in own.items():
            variable.assign(weights[name])


def _own_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a new layer in place of one of Keras' network, which starts as PyTorch's does."""
    if isinstance(layer, keras.layers.BatchNormalization):
        # Keras' epsilon is part of what the published weights mean; its momentum of 0.999 is not,
        # and needs thousands of steps before the running statistics are any good.
        return BatchNormalization(layer.gamma.shape[0], epsilon=layer.epsilon, name=layer.name)
    settings = layer.get_config()
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        # [h, w, channels, 1]: the channels of the output stand where others have their inputs.
        settings["depthwise_initializer"] = _initial("fan_in")
    elif isinstance(layer, keras.layers.Conv2D):
        settings["kernel_initializer"] = _initial("fan_out")
    return type(layer).from_config(settings)


def _initial(mode: str) -> keras.initializers.Initializer:
    # He et al., 2015, arXiv:1502.01852
    return keras.initializers.VarianceScaling(2.0, mode, "untruncated_normal")


def _read(path: str, names: list[str]) -> dict[str, np.ndarray]:
    content = storage.read_bytes(storage.resolve(path))
    try:
        return _by_name(content) if path.endswith(".safetensors") else _by_order(content, names)
    except (SafetensorError, OSError, KeyError) as error:
        reason = str(error).partition("\n")[0].strip("'\"")
        raise UserError(
            f"{storage.shown(path)} cannot be read as weights: {reason}.\n"
            "Expected a .safetensors file, or an .h5 file of weights as Keras publishes them."
        ) from error


def _by_name(content: bytes) -> dict[str, np.ndarray]:
    weights = safetensors.numpy.load(content)
    # A run's own file has the decoder's weights as well.
    prefix = "encoder/" if any(name.startswith("encoder/") for name in weights) else ""
    return {
        name.removeprefix(prefix): array
        for name, array in weights.items()
        if name.startswith(prefix) and not name.startswith(_UNUSED)
    }


def _by_order(content: bytes, names: list[str]) -> dict[str, np.ndarray]:
    """Read weights as Keras does: in the order of the layers, whatever the file calls them."""
    with h5py.File(io.BytesIO(content)) as file:
        layers = [file[layer] for layer in file.attrs["layer_names"]]
        arrays = [layer[name][()] for layer in layers for name in layer.attrs["weight_names"]]
    # Those that follow belong to the layers that only classification needs.
    return dict(zip(names, arrays, strict=False))
