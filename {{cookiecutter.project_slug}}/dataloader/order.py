"""Which samples a step sees, as a function of the seed and the position: nothing to save or resume.

Training is one endless stream of samples. Each epoch is a fresh permutation of the split; batches
may straddle two epochs, and no sample is dropped. Positions count samples, not batches, so the
order stays the same when the batch size or the number of machines changes.
"""

from functools import lru_cache

import numpy as np

from utils.seeding import ORDER, random_words


def sample_indices(
    positions: range, length: int, seed: int, buffer: int | None = None
) -> np.ndarray:
    """Return the samples at consecutive positions of the endless stream, each 0 to length - 1.

    The result is int64 [len(positions)]. `buffer` is explained at `epoch_order`.
    """
    parts = []
    position = positions.start
    while position < positions.stop:
        epoch, offset = divmod(position, length)
        count = min(length - offset, positions.stop - position)
        parts.append(epoch_order(epoch, length, seed, buffer)[offset : offset + count])
        position += count
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


@lru_cache(maxsize=4)  # two epochs that a batch straddles, and those of a batch made ahead
def epoch_order(epoch: int, length: int, seed: int, buffer: int | None = None) -> np.ndarray:
    """Return one epoch's permutation.

    It sorts raw words of the generator, whose values NumPy guarantees; it does not for
    `Generator.permutation`.

    Without a buffer all samples are shuffled. A buffer shuffles blocks of that many neighbours,
    each inside itself, and visits the blocks in random order: for caches that do not fit in
    memory, whose pages are then read block by block. The result, int64 [length], is read-only
    because it is shared.
    """
    words = random_words(seed, ORDER, epoch, length)
    if buffer is None or buffer >= length:
        order = np.argsort(words, kind="stable")
    else:
        block = np.arange(length) // buffer
        # A block comes in the order of its first sample's word, which is as random as any.
        order = np.lexsort((words, block, words[::buffer][block]))
    order = order.astype(np.int64, copy=False)
    order.setflags(write=False)
    return order
