"""The processes that train one model together, and how they exchange what they must agree on.

With TensorFlow it is one process so far.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from configs.schema import CFG
from executor.strategy import choose_strategy

STRATEGIES = ("single",)


class World:
    """The processes of one training: their number, and which of them this is."""

    def __init__(
        self, strategy: str = "single", rank: int = 0, size: int = 1, local_rank: int = 0
    ) -> None:
        """Describe a process; without arguments, one that trains alone.

        Args:
            strategy: One of `STRATEGIES`.
            rank: Which of the processes this is, from 0.
            size: How many there are.
            local_rank: Which of those of this machine this is, from 0.
        """
        self.strategy = strategy
        self.rank = rank
        self.size = size
        self.local_rank = local_rank

    def __str__(self) -> str:
        """Return what is announced."""
        return self.strategy

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of all processes' arrays, which all must have the same shape and type."""
        return array

    def largest(self, *numbers: int) -> list[int]:
        """Return for each number the largest that a process gave; 0 or greater."""
        return list(numbers)

    def broadcast(self, content: bytes) -> bytes:
        """Return what the first process gave; what the others give does not matter."""
        return content

    def gather(self, content: bytes) -> list[bytes]:
        """Return what each process gave, in the order of their ranks."""
        return [content]


@contextmanager
def joined(cfg: CFG) -> Iterator[World]:
    """Join the processes that were launched together; leave them in the end.

    Args:
        cfg: The `executor` section, `train.batch_size` and `accumulate` are used.

    Raises:
        UserError: See `executor.strategy`.
    """
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    launched = len(cluster.get("worker", [])) or None
    choose_strategy(cfg, launched, "single", STRATEGIES)
    yield World()


@contextmanager
def listening(world: World, step: Callable[[], int]) -> Iterator[None]:
    """Turn the failure of an exchange with the others into a message; alone there is none."""
    yield
