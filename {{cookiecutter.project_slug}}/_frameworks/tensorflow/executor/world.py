"""The processes that train one model together, and how they exchange what they must agree on."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from configs.schema import CFG
from executor.strategy import choose_strategy
from executor.updates import Optimizer
from utils.errors import FailedError, StoppedAtOnceError, UserError

STRATEGIES = ("single", "mirrored", "multi_worker")

_POLL_SECONDS = 1.0
# Settings of Keras' optimizers that make them update under a condition.
_CONDITIONS = ("gradient_accumulation_steps", "ema_overwrite_frequency", "inner_optimizer")


class World:
    """The processes of one training: their number, and which of them this is.

    Each computes on one device, so what is said here of a replica, which is a model that sees a
    share of every batch, holds for a process; `_Mirrored` is a process that has several.
    """

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
        self.step: Callable[[], int] = lambda: 0
        """Returns how far the training is; see `listening`."""
        self._engine: Any = None
        self._add: dict[str, Any] = {}
        self._waits_since: float | None = None

    def __str__(self) -> str:
        """Return what is announced."""
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
        """Meet the others; TensorFlow wants it before it computes anything, but after its settings.

        Args:
            timeout_minutes: How long to wait for the others in an exchange.
        """
        if self.size > 1:
            # TensorFlow's own time-out keeps a thread asleep for each exchange, until it is over.
            self._engine = tf.distribute.MultiWorkerMirroredStrategy()
            watch = threading.Thread(target=self._watch, args=(60.0 * timeout_minutes,))
            watch.daemon = True
            watch.start()
            self._add = {
                kind: tf.function(self._added, [tf.TensorSpec([None], kind)], autograph=False)
                for kind in ("int64", "float64")
            }

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """Mark where this process may have to wait for the others.

        If it waits for longer than `connect` was told, a message says so and the process ends: no
        one else can interrupt TensorFlow there.
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
        """Call a function for each replica of this process; inside of a traced function.

        Args:
            function: It may change variables.
            arguments: What `shares`, `average` or this returned, or what is the same for all.

        Returns:
            What the function returns, for each replica its own; `first` gives that of one.
        """
        return function(*arguments)

    def together(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Do as `each` for a function that may exchange tensors with all other replicas.

        Of variables it may change running statistics and the states of random generators.
        """
        return (
            function(*arguments) if self._engine is None else self._engine.run(function, arguments)
        )

    def first(self, values: Any) -> Any:
        """Return the first replica's of what `each`, `together` or `average` returned."""
        return values

    def replica(self) -> int:
        """Return which replica of all processes runs; inside of a function that `each` calls."""
        return self.rank

    def shares(self, tensor: tf.Tensor) -> Any:
        """Return for each replica of this process an equal share of a tensor, in order."""
        return tensor

    def average(self, tensors: Sequence[Any]) -> list[Any]:
        """Return the means over all replicas of tensors; inside of a traced function.

        Args:
            tensors: What `each` or `together` returned, or variables.

        Returns:
            The means, for each replica on its own device.
        """
        if self.replicas == 1:
            return list(tensors)
        return list(self._exchanged(tf.distribute.ReduceOp.MEAN, tensors))

    def take_over(self, optimizer: Optimizer) -> None:
        """Let an optimizer take gradients that are the same for all replicas as they are."""

    def apart(self, function: Callable[[tf.Tensor], tf.Tensor], tensor: tf.Tensor) -> tf.Tensor:
        """Return what a function makes of a tensor, computed in shares by this process's replicas.

        Args:
            function: Maps [B, ...] to [B, ...], each item apart.
            tensor: [B, ...], B 1 or more.
        """
        result: tf.Tensor = function(tensor)
        return result

    def _watch(self, seconds: float) -> None:
        """End the process when it has waited for so long."""
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
        """Return what one process gives: a sum to which the others add zeros."""
        is_mine = rank == self.rank
        length = self.largest(len(content) if is_mine else 0)[0]
        words = np.zeros(-(-length // 8), np.int64)
        if is_mine:
            words.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
        return self.sum(words).tobytes()[:length]


class _Mirrored(World):
    """A process that trains on several devices, each with a copy of all variables."""

    def __init__(self, devices: int, stack: ExitStack) -> None:
        """Describe it.

        Args:
            devices: How many devices it has.
            stack: Is closed when the training is over.
        """
        super().__init__("mirrored")
        self._devices = devices
        self._stack = stack

    def __str__(self) -> str:
        return f"{self.strategy}, {self._devices} devices"

    @property
    def replicas(self) -> int:
        return self._devices

    def connect(self, timeout_minutes: float) -> None:
        """Let all variables from here on be made on each device."""
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        self._engine = tf.distribute.MirroredStrategy([device.name for device in devices])
        self._stack.enter_context(self._engine.scope())
        self._stack.enter_context(tf.variable_creator_scope(_made))

    def each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._engine.run(function, arguments)

    def first(self, values: Any) -> Any:
        return tf.nest.map_structure(self._first, values)

    def replica(self) -> int:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return int(tf.get_static_value(number))

    def shares(self, tensor: tf.Tensor) -> Any:
        parts = tf.split(tensor, self._devices)
        return self._engine.run(lambda: tf.identity(parts[self.replica()]))

    def take_over(self, optimizer: Optimizer) -> None:
        # Keras adds up what the devices give, which is the mean of all already.
        if not hasattr(optimizer, "_all_reduce_sum_gradients"):
            raise UserError(
                f"executor.strategy=mirrored does not know how {type(optimizer).__name__} of this "
                "version of Keras adds up gradients. Take executor.strategy=single."
            )
        optimizer._all_reduce_sum_gradients = list
        for name in _CONDITIONS:
            if getattr(optimizer, name, None):
                raise UserError(
                    f"train.optimizer.{name} does not go with executor.strategy=mirrored, whose "
                    "devices cannot meet inside of a condition. Leave it out: train.accumulate and "
                    "train.ema_decay do the same; or take executor.strategy=single."
                )

    def apart(self, function: Callable[[tf.Tensor], tf.Tensor], tensor: tf.Tensor) -> tf.Tensor:
        # Some items are computed twice where there is no equal share for each.
        count = tf.shape(tensor)[0]
        places = tf.range(-(-count // self._devices) * self._devices)
        filled = tf.gather(tensor, tf.minimum(places, count - 1))
        results = self._engine.run(function, args=(self.shares(filled),))
        return tf.concat(self._engine.experimental_local_results(results), axis=0)[:count]

    def _first(self, value: Any) -> Any:
        return self._engine.experimental_local_results(value)[0]


def _made(make: Callable[..., Any], **settings: Any) -> Any:
    """Make a variable for several devices: what training does not learn, each changes by itself.

    These are running statistics and the states of random generators. Outside of `each` the first
    device's are read, and all are written.
    """
    if not settings.get("trainable", True):
        settings["synchronization"] = tf.VariableSynchronization.ON_READ
        settings["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return make(**settings)


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
        UserError: See `executor.strategy`; or if XLA shall compile for several devices.
        FailedError: If the other processes are not heard of any more.
    """
    place = json.loads(os.environ.get("TF_CONFIG", "{}"))
    workers = place.get("cluster", {}).get("worker", [])
    devices = _devices(cfg)
    strategy = choose_strategy(cfg, len(workers) or None, "multi_worker", STRATEGIES, devices)
    if strategy == "mirrored" and devices > 1:
        _check_compiled(cfg, "executor.strategy=mirrored has several devices")
        with ExitStack() as stack:
            yield _Mirrored(devices, stack)
        return
    if len(workers) <= 1:
        yield World()
        return
    if cfg.executor.sync_batch_norm:
        _check_compiled(cfg, "executor.sync_batch_norm=true exchanges in each layer")
    _check_devices(devices)
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


def _devices(cfg: CFG) -> int:
    """Return how many devices of the wanted kind this process sees, without touching them."""
    gpus = [] if cfg.executor.device == "cpu" else tf.config.get_visible_devices("GPU")
    found = gpus or tf.config.get_visible_devices("CPU")
    # One that was divided by the program that runs this counts as several.
    return sum(len(tf.config.get_logical_device_configuration(one) or [one]) for one in found)


def _check_compiled(cfg: CFG, why: str) -> None:
    if cfg.executor.compile is True:
        raise UserError(
            f"executor.compile=true: XLA compiles for one device alone, and {why}. Turn one of "
            "them off."
        )


def _check_devices(devices: int) -> None:
    if devices > 1:
        raise UserError(
            f"executor.strategy=multi_worker uses one device in each process, and this one sees "
            f"{devices}. With executor.resources.gpus_per_process=1 launch gives each its own; or "
            "set CUDA_VISIBLE_DEVICES."
        )


@contextmanager
def listening(world: World, step: Callable[[], int]) -> Iterator[None]:
    """Turn the failure of an exchange with the others into a message.

    Args:
        world: The processes.
        step: Returns how far this one is.

    Raises:
        FailedError: If the others are not heard of any more.
    """
    world.step = step
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
