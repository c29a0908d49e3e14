"""How the processes of one training meet, part, and notice that one of them is lost."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from configs.schema import CFG
from executor.distributed.mirrored import Mirrored
from executor.distributed.strategy import choose_strategy
from executor.distributed.world import STRATEGIES, World
from utils.errors import FailedError, StoppedAtOnceError, UserError
from utils.framework import tf


def launched() -> tuple[int, int]:
    """Return which of the processes in TF_CONFIG this is, and how many; 0 of 1 without it."""
    place = json.loads(os.environ.get("TF_CONFIG", "{}"))
    size = len(place.get("cluster", {}).get("worker", []))
    return (int(place["task"]["index"]), size) if size else (0, 1)


@contextmanager
def process_group(cfg: CFG) -> Iterator[World]:
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
            yield Mirrored(devices, stack)
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
    if cfg.executor.compile:
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
def report_lost_peers(world: World, step: Callable[[], int]) -> Iterator[None]:
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
    """Return whether an error came from an exchange between processes."""
    kinds = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError)
    return isinstance(error, kinds) or "ollective" in str(error.message)


def _reason(error: tf.errors.OpError) -> str:
    """Return what an error says about the exchange: where in the graph it was comes first."""
    lines = str(error.message).strip().splitlines()
    return next((line for line in lines if "ollective" in line and "rror" in line), lines[0])
