"""Normalises images on the device."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Normalise:
    """Turns images, uint8 [B, H, W, channels], into float32 [B, channels, H, W].

    The bytes travel to the device as they are; scaling there is faster than moving floats.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Keep mean and standard deviation of each channel, once it is scaled to 0..1."""
        self._shift = torch.tensor(mean).mul_(255)
        self._scale = torch.tensor(std).mul_(255)
        self._rows: dict[tuple[torch.device, int], tuple[Tensor, Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Return (image / 255 - mean) / std, its memory in the order of channels_last."""
        batch, height, width, channels = images.shape
        shift, scale = self._row(images.device, width)
        rows = images.view(batch, height, width * channels).to(torch.float32)
        rows.sub_(shift).div_(scale)
        # Permuted is what channels_last means: nothing is copied.
        return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def _row(self, device: torch.device, width: int) -> tuple[Tensor, Tensor]:
        # Channels lie side by side. Given three numbers for the three channels of a pixel, a CPU
        # works through runs of three; given a whole row it is five times as fast.
        key = (device, width)
        if key not in self._rows:
            both = (self._shift, self._scale)
            self._rows[key] = tuple(v.to(device).repeat(width) for v in both)  # type: ignore[assignment]
        return self._rows[key]
