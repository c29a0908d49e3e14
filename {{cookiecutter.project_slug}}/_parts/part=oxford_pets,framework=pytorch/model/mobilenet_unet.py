"""U-Net over a MobileNetV2 encoder, which can start from published ImageNet weights."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from model.layers import pad_to_multiple
from model.mobilenet_v2 import MobileNetV2
from utils.checks import check


class MobileNetUNet(nn.Module):
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
        super().__init__()
        check("num_classes", num_classes, num_classes >= 1, "be at least 1")
        count = len(MobileNetV2.out_channels) - 1
        fits = len(up_widths) == count and min(up_widths) >= 1
        check("up_widths", [*up_widths], fits, f"hold {count} numbers from 1")
        check("kernel_size", kernel_size, kernel_size >= 2, "be at least 2")
        self.encoder = MobileNetV2(in_channels)
        if weights is not None:
            self.encoder.load_weights(weights)
        self.freeze_encoder = freeze_encoder
        self.encoder.requires_grad_(not freeze_encoder)
        *skip_widths, channels = self.encoder.out_channels
        steps = []
        for width, beside in zip(up_widths, reversed(skip_widths), strict=True):
            steps.append(_up_step(channels, width, kernel_size))
            channels = width + beside
        self.up = nn.ModuleList(steps)
        self.head = doubling(channels, num_classes, kernel_size)
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, num_classes, H, W] for images [B, in_channels, H, W] of any size."""
        height, width = images.shape[-2:]
        *skips, features = self.encoder(pad_to_multiple(images, self.encoder.stride))
        for step in self.up:
            features = torch.cat((step(features), skips.pop()), dim=1)
        logits: Tensor = self.head(features)
        return logits[..., :height, :width]

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; a frozen encoder always stays in evaluation."""
        super().train(mode)
        if self.freeze_encoder:
            self.encoder.eval()
        return self


def _up_step(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(
        doubling(in_channels, out_channels, kernel_size, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def doubling(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = True
) -> nn.ConvTranspose2d:
    """Return a transposed convolution whose output has exactly twice the height and width.

    The kernel's size is 2 or more. A normalisation that follows makes the bias superfluous.
    """
    padding = (kernel_size - 1) // 2
    # The output has 2 H - 2 - 2 padding + kernel_size + output_padding rows.
    sizes = (in_channels, out_channels, kernel_size, 2, padding, 2 + 2 * padding - kernel_size)
    return nn.ConvTranspose2d(*sizes, bias=bias)
