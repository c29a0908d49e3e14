"""The processes that train one model together, and their exchanges."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ops.optimizer_functions import Optimizer
from utils.errors import FailedError
from utils.framework import tf

STRATEGIES = ("single", "mirrored", "multi_worker")

_POLL_SECONDS = 1.0


@dataclass(eq=False)
class World:
    """One of the processes of a training; without arguments, one that trains alone.

    A replica is a copy of the model that sees a share of every batch. Each process has one, on one
    device; `Mirrored` is a process that has several.
    """

    strategy: str = "single"
    """One of `STRATEGIES`."""
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the processes of this machine."""
    local_size: int = 1

    def __post_init__(self) -> None:
        """Begin without a connection."""
        self.step: Callable[[], int] = lambda: 0
        """Returns how far the training is; see `report_lost_peers`."""
        self._engine: Any = None
        self._add: dict[str, Any] = {}
        self._waits_since: float | None = None

    def __str__(self) -> str:
        return f"{self.strategy}, {self.size} processes" if self.size > 1 else self.strategy

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def replicas(self) -> int:
        """In how many shares all processes together take a batch."""
        return self.size

    def connect(self, timeout_minutes: float) -> None:
        """Connect to the others, after TensorFlow's settings and before it computes anything.

        An exchange in which they are silent for `timeout_minutes` ends the process.
        """
        if self.size > 1:
            # TensorFlow's own time-out keeps a thread asleep for each exchange, until it is over.
            self._engine = tf.distribute.MultiWorkerMirroredStrategy()
            seconds = 60.0 * timeout_minutes
            threading.Thread(target=self._watch, args=(seconds,), daemon=True).start()
            self._add = {
                kind: tf.function(self._added, [tf.TensorSpec([None], kind)], autograph=False)
                for kind in ("int64", "float64")
            }

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """Mark where this process may have to wait for the others.

        After the time-out of `connect` a message says so and the process ends: nothing else can
        interrupt TensorFlow there.
        """
        self._waits_since = time.monotonic()
        try:
            yield
        finally:
            self._waits_since = None

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of all processes' arrays, which all must have the same shape and type."""
        if self.size == 1:
            return array
        # Few types and one shape, for each of which the exchange is traced.
        kind = "float64" if array.dtype.kind == "f" else "int64"
        with self.exchanging():
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

    def each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, which may change variables, for each replica of this process.

        For use inside of a traced function. The arguments are what `shares`, `average` or this
        returned, or the same for all; `first` gives one replica's of the results.
        """
        return function(*arguments)

    def together(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Do as `each` for a function that may exchange tensors with all other replicas.

        Of variables it may change running statistics and the states of random generators.
        """
        if self._engine is None:
            return function(*arguments)
        return self._engine.run(function, arguments)

    def first(self, values: Any) -> Any:
        """Return the first replica's of what `each`, `together` or `average` returned."""
        return values

    def replica(self) -> int:
        """Return which replica of all processes runs; inside of a function that `each` calls."""
        return self.rank

    def shares(self, tensors: Any) -> Any:
        """Return for each replica of this process an equal share of each tensor, in order."""
        return tensors

    def average(self, tensors: Sequence[Any]) -> list[Any]:
        """Return the means over all replicas, for each on its own device; in a traced function.

        The tensors are what `each` or `together` returned, or variables.
        """
        if self.replicas == 1:
            return list(tensors)
        return list(self._exchanged(tf.distribute.ReduceOp.MEAN, tensors))

    def take_over(self, optimizer: Optimizer) -> None:
        """Let an optimizer take gradients that are the same for all replicas as they are."""

    def apart(self, function: Callable[[Any], Any], tensors: Any) -> Any:
        """Return `function(tensors)`, computed in shares by this process's replicas.

        The function maps tensors [B, ...] to such, each item by itself; B is 1 or more.
        """
        return function(tensors)

    def _watch(self, seconds: float) -> None:
        while True:
            time.sleep(_POLL_SECONDS)
            since = self._waits_since
            if since is not None and time.monotonic() - since > seconds:
                print(
                    f"error: rank {self.rank} of {self.size} lost the others at step "
                    f"{self.step()}: timed out after {seconds:g} s (executor.timeout_minutes)",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(FailedError.exit_code)

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
        """Return what one process gives, as a sum to which the others add zeros."""
        is_mine = rank == self.rank
        length = self.largest(len(content) if is_mine else 0)[0]
        words = np.zeros(-(-length // 8), np.int64)
        if is_mine:
            words.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
        return self.sum(words).tobytes()[:length]
