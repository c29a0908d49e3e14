"""U-Net over a MobileNetV2 encoder, which can start from published ImageNet weights."""

from collections.abc import Sequence

from model.keras_layers import BatchNormalization, Chain, evenly_spread
from model.layers import pad_to_multiple
from model.mobilenet_v2 import MobileNetV2
from utils.checks import check
from utils.framework import keras, tf


class MobileNetUNet(keras.Model):
    """Predict the class of each pixel.

    From a thirty-second of the image's size, each step of the decoder doubles the size by a
    transposed convolution and joins the encoder's features of that size.

    Args:
        num_classes: Channels of the output, 1 or more.
        in_channels: Channels of the images, 1 or more; published weights need 3.
        up_widths: Channels of the four steps of the decoder, from 1/16 of the size to 1/2.
        kernel_size: Side of the transposed convolutions in pixels, 2 or more.
        weights: File or URL with published weights for the encoder, see `model.mobilenet_v2`; None
            starts from random ones. Relative paths begin in the project's folder.
        freeze_encoder: Keep the encoder as it is, statistics of its normalisation included.

    Raises:
        ValueError: If a number is out of range.
        UserError: If `weights` cannot be loaded.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        up_widths: Sequence[int] = (512, 256, 128, 64),
        kernel_size: int = 3,
        weights: str | None = None,
        freeze_encoder: bool = False,
    ) -> None:
        super().__init__(name="mobilenet_unet")
        check("num_classes", num_classes, num_classes >= 1, "be at least 1")
        count = len(MobileNetV2.out_channels) - 1
        fits = len(up_widths) == count and min(up_widths) >= 1
        check("up_widths", [*up_widths], fits, f"hold {count} numbers from 1")
        check("kernel_size", kernel_size, kernel_size >= 2, "be at least 2")
        with keras.name_scope("encoder"):
            self.encoder = MobileNetV2(in_channels)
        if weights is not None:
            self.encoder.load_weights(weights)
        # Frozen, its normalisation uses the running statistics in training too, and keeps them.
        self.encoder.trainable = not freeze_encoder
        *skip_widths, channels = self.encoder.out_channels
        self.up: list[Chain] = []
        for width, beside in zip(up_widths, reversed(skip_widths), strict=True):
            with keras.name_scope(f"decoder_{len(skip_widths) - len(self.up)}"):
                self.up.append(_up_step(channels, width, kernel_size))
            channels = width + beside
        with keras.name_scope("head"):
            self.head = doubling(channels, num_classes, kernel_size)
        self.built = True

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Return logits [B, H, W, num_classes] for images [B, H, W, in_channels] of any size."""
        height, width = keras.ops.shape(images)[1:3]
        *skips, features = self.encoder(pad_to_multiple(images, self.encoder.stride))
        for step in self.up:
            features = tf.concat((step(features), skips.pop()), axis=-1)
        logits = self.head(features)[:, :height, :width]
        return tf.cast(logits, tf.float32)  # whatever precision the layers compute in


def _up_step(in_channels: int, out_channels: int, kernel_size: int) -> Chain:
    return Chain(
        [
            doubling(in_channels, out_channels, kernel_size, bias=False),
            BatchNormalization(out_channels),
            keras.layers.ReLU(),
        ]
    )


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
