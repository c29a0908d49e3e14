"""U-Net (Ronneberger et al., 2015, arXiv:1505.04597) with a plain encoder of a configurable size.

Against the paper: padded convolutions, so that the output is as large as the input; batch
normalisation after each convolution; and a decoder that projects to fewer channels and then repeats
each pixel, where the paper has a transposed convolution. To join first and leave the projection to
the next convolution, as many do, takes a sixth more time on a CPU.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers import convolution, pad_to_multiple
from utils.checks import check


class UNet(nn.Module):
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
        super().__init__()
        check("num_classes", num_classes, num_classes >= 1, "be at least 1")
        check("in_channels", in_channels, in_channels >= 1, "be at least 1")
        check("widths", [*widths], min(widths, default=0) >= 1, "hold one or more numbers from 1")
        check("kernel_size", kernel_size, kernel_size > 0 and kernel_size % 2 == 1, "be odd")
        check("dropout", dropout, 0.0 <= dropout < 1.0, "be in [0, 1)")
        self.stride = 2 ** (len(widths) - 1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        self.down = nn.ModuleList()
        channels = in_channels
        for width in widths:
            self.down.append(_level(channels, width, kernel_size))
            channels = width
        self.reduce = nn.ModuleList()
        self.up = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.reduce.append(nn.Conv2d(channels, width, kernel_size=1, bias=False))
            self.up.append(_level(2 * width, width, kernel_size))
            channels = width
        self.head = nn.Conv2d(channels, num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, num_classes, H, W] for images [B, in_channels, H, W] of any size."""
        height, width = images.shape[-2:]
        features = pad_to_multiple(images, self.stride)
        skips: list[Tensor] = []
        for level in self.down:
            features = level(self.pool(features) if skips else features)
            skips.append(features)
        features = self.dropout(skips.pop())
        for reduce, level in zip(self.reduce, self.up, strict=True):
            features = functional.interpolate(reduce(features), scale_factor=2.0, mode="nearest")
            features = level(torch.cat((features, skips.pop()), dim=1))
        logits: Tensor = self.head(features)
        return logits[..., :height, :width]


def _level(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Return two convolutions, each with batch normalisation and ReLU."""
    return nn.Sequential(
        *convolution(in_channels, out_channels, kernel_size),
        *convolution(out_channels, out_channels, kernel_size),
    )
