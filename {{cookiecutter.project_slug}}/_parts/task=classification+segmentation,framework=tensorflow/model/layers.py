"""Layers that the networks share; each has its weights at once (see `model.keras_layers`)."""

from model.keras_layers import BatchNormalization, plain_convolution
from utils.framework import keras, tf


def convolution(in_channels: int, out_channels: int, kernel_size: int) -> list[keras.layers.Layer]:
    """Return convolution, batch normalisation and ReLU; the size stays, the kernel's is odd."""
    return [
        # No bias: the normalisation that follows has one.
        plain_convolution(in_channels, out_channels, kernel_size, bias=False),
        BatchNormalization(out_channels),
        keras.layers.ReLU(),
    ]


def pad_to_multiple(images: tf.Tensor, multiple: int) -> tf.Tensor:
    """Repeat the last row and column until height and width are multiples of a number.

    [B, H, W, C] becomes [B, H', W', C]; the images themselves if there is nothing to add.
    """
    for axis in (1, 2):
        size = keras.ops.shape(images)[axis]  # a tensor where it is not known before the call
        missing = -size % multiple
        if not isinstance(missing, int) or missing > 0:
            positions = tf.minimum(tf.range(size + missing), size - 1)
            images = tf.gather(images, positions, axis=axis)
    return images
