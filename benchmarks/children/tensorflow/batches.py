"""The batches of the loops that gather their own: whole ones, from arrays in memory."""

from collections.abc import Iterator

import numpy as np
from arrays import Arrays
from workload import Workload


class Batches:
    """An endless stream of (images, masks), a fresh permutation in every epoch.

    Gathering whole batches is the quick way; a `tf.data` pipeline over single samples takes longer
    and would be what is measured.
    """

    def __init__(self, work: Workload) -> None:
        """Make the samples."""
        self._arrays = Arrays(work.side, work.samples)
        self._batch = work.batch

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield uint8 [B, H, W, 3] and uint8 [B, H, W]."""
        generator = np.random.default_rng(0)
        while True:
            order = generator.permutation(len(self._arrays))
            for start in range(0, len(order) - self._batch + 1, self._batch):
                chosen = order[start : start + self._batch]
                yield self._arrays.images[chosen], self._arrays.masks[chosen]
