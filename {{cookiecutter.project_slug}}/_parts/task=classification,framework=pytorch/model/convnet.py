"""A small convolutional network, for images of some ten to some hundred pixels a side."""

from collections.abc import Sequence

from torch import Tensor, nn

from model.layers import convolution
from utils.checks import check


class ConvNet(nn.Module):
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
        super().__init__()
        check("num_classes", num_classes, num_classes >= 1, "be at least 1")
        check("in_channels", in_channels, in_channels >= 1, "be at least 1")
        check("widths", [*widths], min(widths, default=0) >= 1, "hold one or more numbers from 1")
        check("kernel_size", kernel_size, kernel_size > 0 and kernel_size % 2 == 1, "be odd")
        check("dropout", dropout, 0.0 <= dropout < 1.0, "be in [0, 1)")
        # Rounded up, so that no image is too small.
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.levels = nn.ModuleList()
        channels = in_channels
        for width in widths:
            first = convolution(channels, width, kernel_size)
            self.levels.append(nn.Sequential(*first, *convolution(width, width, kernel_size)))
            channels = width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, num_classes] for images [B, in_channels, H, W] of any size."""
        features = images
        for number, level in enumerate(self.levels):
            features = level(self.pool(features) if number else features)
        logits: Tensor = self.head(self.dropout(features.mean(dim=(2, 3))))
        return logits
