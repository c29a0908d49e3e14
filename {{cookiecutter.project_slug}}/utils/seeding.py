"""Random numbers as a function of (seed, stream, position), never as a state that has to be saved.

Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is a counter-based
generator: any part of its stream can be reached at once. Resuming a run, or splitting it over
processes, therefore needs the position only.
"""

import numpy as np

# The streams, a number for each purpose; never reuse or renumber one, or old runs change.
ORDER = 1
AUGMENTATION = 2
FRAMEWORK = 3
SAMPLE_DATA = 4
REPORT = 5
WEIGHTS = 6
BATCH_AUGMENTATION = 7

_WORDS_PER_COUNTER = 4  # Philox4x64 yields four 64-bit words for each value of its counter


def generator(seed: int, stream: int, position: int = 0) -> np.random.Generator:
    """Return a NumPy generator that depends on nothing but its three arguments."""
    return np.random.Generator(_bits(seed, stream, position))


def random_words(seed: int, stream: int, position: int, count: int) -> np.ndarray:
    """Return random 64-bit words, uint64 [count], the same with every version of NumPy."""
    return np.asarray(_bits(seed, stream, position).random_raw(count), dtype=np.uint64)


def uniform_draws(seed: int, stream: int, position: int, count: int, width: int) -> np.ndarray:
    """Return float64 [count, width] in [0, 1): a row for each of `count` consecutive positions.

    The row of a position does not depend on `count`. `width` must be a multiple of 4.
    """
    if width % _WORDS_PER_COUNTER:
        raise ValueError(f"Argument `width` must be a multiple of 4. Received: {width}")
    bits = _bits(seed, stream)
    bits.advance(position * width // _WORDS_PER_COUNTER)
    return np.random.Generator(bits).random((count, width))


def _bits(*words: int) -> np.random.Philox:
    return np.random.Philox(np.random.SeedSequence(words))
