"""Layers that the networks share; each has its weights at once (see `model.keras_layers`)."""

from model.keras_layers import BatchNormalization, evenly_spread, plain_convolution
from utils.framework import keras, tf


def convolution(in_channels: int, out_channels: int, kernel_size: int) -> list[keras.layers.Layer]:
    """Return convolution, batch normalisation and ReLU; the size stays, the kernel's is odd."""
    return [
        # No bias: the normalisation that follows has one.
        plain_convolution(in_channels, out_channels, kernel_size, bias=False),
        BatchNormalization(out_channels),
        keras.layers.ReLU(),
    ]


def doubling(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = True
) -> keras.layers.Conv2DTranspose:
    """Return a transposed convolution whose output has exactly twice the height and width.

    Each pixel spreads over a square of the output. Where the square's side is odd, it reaches one
    pixel further down and right than up and left, as everything does in the encoders that Keras
    publishes weights for; in PyTorch it is the other way round.
    The kernel's size is 2 or more. A normalisation that follows makes the bias superfluous.
    """
    layer = keras.layers.Conv2DTranspose(
        out_channels,
        kernel_size,
        strides=2,
        padding="same",
        use_bias=bias,
        kernel_initializer=evenly_spread(out_channels * kernel_size**2),
        bias_initializer=evenly_spread(out_channels * kernel_size**2),
        name="conv",
    )
    layer.build((None, None, None, in_channels))
    return layer


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
