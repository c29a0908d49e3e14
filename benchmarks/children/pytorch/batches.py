"""The batches of the loops that are not the executor's: gathered whole from arrays in memory."""

from collections.abc import Iterator

import numpy as np
import torch
from arrays import MEAN, STD, Arrays
from torch import Tensor
from workload import Workload


class Batches:
    """An endless stream of (images, masks), a fresh permutation in every epoch.

    Gathering whole batches is the quick way; a `DataLoader` over single samples, which most people
    write, takes several times as long and would be what is measured.
    """

    def __init__(self, work: Workload) -> None:
        """Make the samples, laid out in memory as the model will want them."""
        arrays = Arrays(work.side, work.samples)
        self._images, self._masks = arrays.images, arrays.masks
        self._is_channels_last = work.tuned
        if not self._is_channels_last:
            self._images = np.ascontiguousarray(self._images.transpose(0, 3, 1, 2))
        self._batch = work.batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 [B, 3, H, W], normalised, and int64 [B, H, W]."""
        generator = np.random.default_rng(0)
        while True:
            order = generator.permutation(len(self._images))
            for start in range(0, len(order) - self._batch + 1, self._batch):
                chosen = order[start : start + self._batch]
                images = torch.from_numpy(self._images[chosen])
                if self._is_channels_last:
                    images = images.permute(0, 3, 1, 2)
                masks = torch.from_numpy(self._masks[chosen])
                yield images.float().sub_(MEAN).div_(STD), masks.long()
