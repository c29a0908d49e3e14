"""Which samples a step sees, as a function of the seed and the position: nothing to save or resume.

Training is one endless stream of samples, epoch after epoch; batches may straddle two epochs.
Positions count samples, not batches, so the order stays the same when the batch size or the number
of machines changes.
"""

from collections.abc import Callable

import numpy as np

from utils.seeding import ORDER, random_words

Order = Callable[[int], np.ndarray]
"""Maps the number of an epoch to its samples, int64 [samples an epoch]."""


def sample_indices(positions: range, length: int, order: Order) -> np.ndarray:
    """Return the samples at consecutive positions of the endless stream, int64 [len(positions)].

    `length` is the number of samples in an epoch.
    """
    parts = []
    position = positions.start
    while position < positions.stop:
        epoch, offset = divmod(position, length)
        count = min(length - offset, positions.stop - position)
        parts.append(order(epoch)[offset : offset + count])
        position += count
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def shuffled(epoch: int, length: int, seed: int, buffer: int | None = None) -> np.ndarray:
    """Return one epoch's permutation, int64 [length]: each sample once.

    It sorts raw words of the generator, whose values NumPy guarantees; it does not for
    `Generator.permutation`.

    Without a buffer all samples are shuffled. A buffer shuffles blocks of that many neighbours,
    each inside itself, and visits the blocks in random order: for caches that do not fit in
    memory, whose pages are then read block by block.
    """
    words = random_words(seed, ORDER, epoch, length)
    if buffer is None or buffer >= length:
        order = np.argsort(words, kind="stable")
    else:
        block = np.arange(length) // buffer
        # A block comes in the order of its first sample's word, which is as random as any.
        order = np.lexsort((words, block, words[::buffer][block]))
    return order.astype(np.int64, copy=False)


def drawn(epoch: int, weights: np.ndarray, seed: int) -> np.ndarray:
    """Return as many samples as there are, drawn by weight, float64 [samples]; int64 [samples].

    A sample comes as often as its share of all weights says, rounded up or down by chance
    (systematic resampling: equally spaced points over the weights, which lie in random order).
    """
    length = len(weights)
    words = random_words(seed, ORDER, epoch, 2 * length + 1)
    first = np.argsort(words[:length], kind="stable")
    ends = np.cumsum(weights[first])
    points = (np.arange(length) + words[-1] / 2.0**64) * (ends[-1] / length)
    chosen = first[np.minimum(np.searchsorted(ends, points, side="right"), length - 1)]
    return np.asarray(chosen[np.argsort(words[length:-1], kind="stable")])
