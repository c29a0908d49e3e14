"""The processes that train one model together, and how they exchange what they must agree on."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from configs.schema import CFG
from executor.strategy import choose_strategy
from utils.errors import FailedError, StoppedAtOnceError, UserError

STRATEGIES = ("single", "multi_worker")


class World:
    """The processes of one training: their number, and which of them this is."""

    def __init__(
        self,
        strategy: str = "single",
        rank: int = 0,
        size: int = 1,
        local_rank: int = 0,
        local_size: int = 1,
    ) -> None:
        """Describe a process; without arguments, one that trains alone.

        Args:
            strategy: One of `STRATEGIES`.
            rank: Which of the processes this is, from 0.
            size: How many there are.
            local_rank: Which of those of this machine this is, from 0.
            local_size: How many of them this machine has.
        """
        self.strategy = strategy
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        self.local_size = local_size
        self._engine: Any = None
        self._add: dict[str, Any] = {}

    def __str__(self) -> str:
        """Return what is announced."""
        return f"{self.strategy}, {self.size} processes" if self.size > 1 else self.strategy

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def connect(self, timeout_minutes: float) -> None:
        """Meet the others; TensorFlow wants it before it computes anything, but after its settings.

        Args:
            timeout_minutes: How long to wait for the others in an exchange.
        """
        if self.size > 1:
            options = tf.distribute.experimental.CommunicationOptions(
                implementation=tf.distribute.experimental.CommunicationImplementation.AUTO,
                timeout_seconds=60.0 * timeout_minutes,
            )
            self._engine = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
            self._add = {
                kind: tf.function(self._added, [tf.TensorSpec([None], kind)], autograph=False)
                for kind in ("int64", "float64")
            }

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of all processes' arrays, which all must have the same shape and type."""
        if self.size == 1:
            return array
        # Few types and one shape, for each of which the exchange is traced.
        kind = "float64" if array.dtype.kind == "f" else "int64"
        total: np.ndarray = self._add[kind](array.reshape(-1).astype(kind)).numpy()
        return total.reshape(array.shape).astype(array.dtype)

    def largest(self, *numbers: int) -> list[int]:
        """Return for each number the largest that a process gave; 0 or greater."""
        if self.size == 1:
            return list(numbers)
        mine = np.zeros((self.size, len(numbers)), np.int64)
        mine[self.rank] = numbers
        return [int(number) for number in self.sum(mine).max(axis=0)]

    def broadcast(self, content: bytes) -> bytes:
        """Return what the first process gave; what the others give does not matter."""
        return content if self.size == 1 else self._sent_by(0, content)

    def gather(self, content: bytes) -> list[bytes]:
        """Return what each process gave, in the order of their ranks."""
        if self.size == 1:
            return [content]
        return [self._sent_by(rank, content) for rank in range(self.size)]

    def average(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the means of tensors over the processes; inside of a traced function."""
        if self.size == 1:
            return list(tensors)

        return list(self._exchanged(tf.distribute.ReduceOp.MEAN, tensors))

    def _added(self, array: tf.Tensor) -> tf.Tensor:
        return self._exchanged(tf.distribute.ReduceOp.SUM, [array])[0]

    def _exchanged(self, operation: Any, tensors: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        def exchange(*values: tf.Tensor) -> Any:
            # A tensor that was made here has a device, which the exchange needs to know.
            here = [tf.identity(value) for value in values]
            return tf.distribute.get_replica_context().all_reduce(operation, here)

        exchanged: Sequence[tf.Tensor] = self._engine.run(exchange, args=tuple(tensors))
        return exchanged

    def _sent_by(self, rank: int, content: bytes) -> bytes:
        """Return what one process gives: a sum to which the others add zeros."""
        is_mine = rank == self.rank
        length = self.largest(len(content) if is_mine else 0)[0]
        words = np.zeros(-(-length // 8), np.int64)
        if is_mine:
            words.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
        return self.sum(words).tobytes()[:length]


def launched() -> tuple[int, int]:
    """Return which of the processes in TF_CONFIG this is, and how many; 0 of 1 without it."""
    place = json.loads(os.environ.get("TF_CONFIG", "{}"))
    size = len(place.get("cluster", {}).get("worker", []))
    return (int(place["task"]["index"]), size) if size else (0, 1)


@contextmanager
def joined(cfg: CFG) -> Iterator[World]:
    """Join the processes that were launched together, as TF_CONFIG says; leave them in the end.

    Args:
        cfg: The `executor` section, `train.batch_size` and `accumulate` are used.

    Raises:
        UserError: See `executor.strategy`.
        FailedError: If the other processes are not heard of any more.
    """
    place = json.loads(os.environ.get("TF_CONFIG", "{}"))
    workers = place.get("cluster", {}).get("worker", [])
    strategy = choose_strategy(cfg, len(workers) or None, "multi_worker", STRATEGIES)
    if strategy == "single" or len(workers) == 1:
        yield World()
        return
    rank = int(place["task"]["index"])
    hosts = [worker.rpartition(":")[0] for worker in workers]
    local = (hosts[:rank].count(hosts[rank]), hosts.count(hosts[rank]))
    world = World(strategy, rank, len(workers), *local)
    try:
        yield world
    except UserError as error:
        raise error if world.is_first else UserError(f"rank {world.rank}: {error}") from error
    except StoppedAtOnceError as stop:
        stop.exit_code = FailedError.exit_code  # the others know nothing of it, and may start again
        raise


@contextmanager
def listening(world: World, step: Callable[[], int]) -> Iterator[None]:
    """Turn the failure of an exchange with the others into a message.

    Args:
        world: The processes.
        step: Returns how far this one is.

    Raises:
        FailedError: If the others are not heard of any more.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if world.size == 1 or not _is_of_exchange(error):
            raise
        raise FailedError(
            f"rank {world.rank} of {world.size} lost the others at step {step()}: {_reason(error)}"
        ) from error


def _is_of_exchange(error: tf.errors.OpError) -> bool:
    """Tell whether an error came from an exchange between processes."""
    kinds = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError)
    return isinstance(error, kinds) or "ollective" in str(error.message)


def _reason(error: tf.errors.OpError) -> str:
    """Return what an error says about the exchange: where in the graph it was comes first."""
    lines = str(error.message).strip().splitlines()
    return next((line for line in lines if "ollective" in line and "rror" in line), lines[0])
