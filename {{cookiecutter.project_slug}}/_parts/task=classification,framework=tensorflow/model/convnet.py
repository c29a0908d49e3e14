"""A small convolutional network, for images of some ten to some hundred pixels a side."""

from collections.abc import Sequence

from model.keras_layers import Chain, evenly_spread
from model.layers import convolution
from utils.checks import check
from utils.framework import keras, tf


class ConvNet(keras.Model):
    """Predict the class of an image.

    Each level has two convolutions, and max-pooling halves the size to the next. The mean over all
    pixels of the last level goes through one linear layer, so images may have any size.

    Args:
        num_classes: Numbers in the output, 1 or more.
        in_channels: Channels of the images, 1 or more.
        widths: Channels of each level, one or more numbers. Multiples of 16 are faster than others.
        kernel_size: Side of the convolutions in pixels, odd.
        dropout: Share of the last features that is dropped in training, in [0, 1).

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        widths: Sequence[int] = (16, 32, 64),
        kernel_size: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(name="convnet")
        check("num_classes", num_classes, num_classes >= 1, "be at least 1")
        check("in_channels", in_channels, in_channels >= 1, "be at least 1")
        check("widths", [*widths], min(widths, default=0) >= 1, "hold one or more numbers from 1")
        check("kernel_size", kernel_size, kernel_size > 0 and kernel_size % 2 == 1, "be odd")
        check("dropout", dropout, 0.0 <= dropout < 1.0, "be in [0, 1)")
        # Rounded up, so that no image is too small; what is added at the end is never the greatest.
        self.pool = keras.layers.MaxPooling2D(2, padding="same")
        self.levels = []
        channels = in_channels
        for number, width in enumerate(widths):
            with keras.name_scope(f"level_{number}"):
                with keras.name_scope("first"):
                    first = convolution(channels, width, kernel_size)
                with keras.name_scope("second"):
                    second = convolution(width, width, kernel_size)
            self.levels.append(Chain([*first, *second]))
            channels = width
        self.dropout = dropout
        self.draws = keras.random.SeedGenerator(name="dropout") if dropout else None
        self.head = keras.layers.Dense(
            num_classes,
            kernel_initializer=evenly_spread(channels),
            bias_initializer=evenly_spread(channels),
            name="head",
        )
        self.head.build((None, channels))
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = False) -> tf.Tensor:
        """Return logits [B, num_classes] for images [B, H, W, in_channels] of any size."""
        features = images
        for number, level in enumerate(self.levels):
            features = level(self.pool(features) if number else features)
        features = tf.reduce_mean(features, axis=(1, 2))
        if training and self.draws is not None:
            features = keras.random.dropout(features, self.dropout, seed=self.draws)
        return tf.cast(self.head(features), tf.float32)  # whatever precision the layers compute in
