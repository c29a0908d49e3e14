"""U-Net (Ronneberger et al., 2015, arXiv:1505.04597) with a plain encoder of a configurable size.

Against the paper: padded convolutions, so that the output is as large as the input; batch
normalisation after each convolution; and a decoder that projects to fewer channels and then repeats
each pixel, where the paper has a transposed convolution. To join first and leave the projection to
the next convolution, as many do, takes a sixth more time on a CPU.
"""

from collections.abc import Sequence

from model.keras_layers import Chain, plain_convolution
from model.layers import convolution, pad_to_multiple
from utils.checks import check
from utils.framework import keras, tf


class UNet(keras.Model):
    """Predict the class of each pixel.

    Each level of the encoder has two convolutions, and max-pooling halves the size to the next.
    The decoder doubles the size again, joining the encoder's features of the same size.

    Args:
        num_classes: Channels of the output, 1 or more.
        in_channels: Channels of the images, 1 or more.
        widths: Channels of each level from the full size down, one or more numbers. Multiples of 16
            are much faster than others, and the first number costs most: it is at full size.
        kernel_size: Side of the convolutions in pixels, odd.
        dropout: Share of the lowest level's channels that is dropped in training, in [0, 1).

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        widths: Sequence[int] = (16, 32, 64, 128),
        kernel_size: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(name="unet")
        check("num_classes", num_classes, num_classes >= 1, "be at least 1")
        check("in_channels", in_channels, in_channels >= 1, "be at least 1")
        check("widths", [*widths], min(widths, default=0) >= 1, "hold one or more numbers from 1")
        check("kernel_size", kernel_size, kernel_size > 0 and kernel_size % 2 == 1, "be odd")
        check("dropout", dropout, 0.0 <= dropout < 1.0, "be in [0, 1)")
        self.stride = 2 ** (len(widths) - 1)
        self.pool = keras.layers.MaxPooling2D(2)
        self.enlarge = keras.layers.UpSampling2D(2)
        self.dropout = dropout
        self.draws = keras.random.SeedGenerator(name="dropout") if dropout else None
        self.down = []
        channels = in_channels
        for level, width in enumerate(widths):
            with keras.name_scope(f"encoder_{level}"):
                self.down.append(_level(channels, width, kernel_size))
            channels = width
        self.reduce = []
        self.up = []
        for level, width in reversed(list(enumerate(widths[:-1]))):
            with keras.name_scope(f"decoder_{level}"):
                with keras.name_scope("reduce"):
                    self.reduce.append(plain_convolution(channels, width, 1, bias=False))
                self.up.append(_level(2 * width, width, kernel_size))
            channels = width
        with keras.name_scope("head"):
            self.head = plain_convolution(channels, num_classes, kernel_size=1)
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = False) -> tf.Tensor:
        """Return logits [B, H, W, num_classes] for images [B, H, W, in_channels] of any size."""
        height, width = keras.ops.shape(images)[1:3]
        features = pad_to_multiple(images, self.stride)
        skips: list[tf.Tensor] = []
        for level in self.down:
            features = level(self.pool(features) if skips else features)
            skips.append(features)
        features = skips.pop()
        if training and self.draws is not None:
            one_draw_a_channel = (None, 1, 1, None)
            features = keras.random.dropout(
                features, self.dropout, noise_shape=one_draw_a_channel, seed=self.draws
            )
        for reduce, level in zip(self.reduce, self.up, strict=True):
            features = self.enlarge(reduce(features))
            features = level(tf.concat((features, skips.pop()), axis=-1))
        logits = self.head(features)[:, :height, :width]
        return tf.cast(logits, tf.float32)  # whatever precision the layers compute in


def _level(in_channels: int, out_channels: int, kernel_size: int) -> Chain:
    """Return two convolutions, each with batch normalisation and ReLU."""
    with keras.name_scope("first"):
        first = convolution(in_channels, out_channels, kernel_size)
    with keras.name_scope("second"):
        second = convolution(out_channels, out_channels, kernel_size)
    return Chain([*first, *second])
