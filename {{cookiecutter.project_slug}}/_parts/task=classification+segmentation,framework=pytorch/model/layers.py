"""Layers that the networks share."""

from torch import Tensor, nn
from torch.nn import functional


def convolution(in_channels: int, out_channels: int, kernel_size: int) -> list[nn.Module]:
    """Return convolution, batch normalisation and ReLU; the size stays, the kernel's is odd."""
    return [
        # No bias: the normalisation that follows has one.
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until height and width are multiples of a number.

    [B, C, H, W] becomes [B, C, H', W']; the images themselves if there is nothing to add.
    """
    below, right = -images.shape[-2] % multiple, -images.shape[-1] % multiple
    if not below and not right:
        return images
    return functional.pad(images, (0, right, 0, below), mode="replicate")
