"""Joins the processes of one training, and reports when one of them is lost."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from configs.schema import Executor, Train
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
def process_group(executor: Executor, train: Train) -> Iterator[World]:
    """Join the processes that were launched together, as TF_CONFIG says; leave them in the end.

    Raises:
        UserError: See `choose_strategy`; or if XLA shall compile for several devices.
        FailedError: If the other processes do not answer any more.
    """
    place = json.loads(os.environ.get("TF_CONFIG", "{}"))
    workers = place.get("cluster", {}).get("worker", [])
    devices, size = _devices(executor.device), len(workers) or None
    strategy = choose_strategy(executor.strategy, train, size, "multi_worker", STRATEGIES, devices)
    if strategy == "mirrored" and devices > 1:
        if executor.compile:
            raise _not_compiled("executor.strategy=mirrored has several devices")
        with ExitStack() as stack:
            yield Mirrored(devices, stack)
        return
    if len(workers) <= 1:
        yield World()
        return
    if executor.sync_batch_norm and executor.compile:
        raise _not_compiled("executor.sync_batch_norm=true exchanges in each layer")
    if devices > 1:
        raise UserError(
            f"executor.strategy=multi_worker uses one device in each process, and this one sees "
            f"{devices}. With executor.resources.gpus_per_process=1 launch gives each its own; or "
            "set CUDA_VISIBLE_DEVICES."
        )
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


def _devices(wanted: str) -> int:
    """Return how many devices of the wanted kind this process sees, without touching them."""
    gpus = [] if wanted == "cpu" else tf.config.get_visible_devices("GPU")
    found = gpus or tf.config.get_visible_devices("CPU")
    # One that was divided by the program that runs this counts as several.
    return sum(len(tf.config.get_logical_device_configuration(one) or [one]) for one in found)


def _not_compiled(why: str) -> UserError:
    return UserError(
        f"executor.compile=true: XLA compiles for one device alone, and {why}. Turn one of them "
        "off."
    )


@contextmanager
def report_lost_peers(world: World, step: Callable[[], int]) -> Iterator[None]:
    """Turn the failure of an exchange with the others into a FailedError that states the step."""
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
    kinds = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError)
    return isinstance(error, kinds) or "ollective" in str(error.message)


def _reason(error: tf.errors.OpError) -> str:
    """Return what an error says about the exchange: where in the graph it was comes first."""
    lines = str(error.message).strip().splitlines()
    return next((line for line in lines if "ollective" in line and "rror" in line), lines[0])
