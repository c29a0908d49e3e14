"""Joins the processes of one training, and reports when one of them is lost."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch

from configs.schema import Executor, Train
from executor.distributed.strategy import choose_strategy
from executor.distributed.world import STRATEGIES, World
from utils.errors import FailedError, StoppedAtOnceError, UserError


def launched() -> tuple[int, int]:
    """Return which of the processes that torchrun started this is, and how many; 0 of 1 if none."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def process_group(executor: Executor, train: Train) -> Iterator[World]:
    """Join the processes that torchrun started, if it did; leave them in the end.

    Raises:
        UserError: See `choose_strategy`.
        FailedError: If the other processes are not found, or do not answer any more.
    """
    size = launched()[1] if "WORLD_SIZE" in os.environ else None
    strategy = choose_strategy(executor.strategy, train, size, "ddp", STRATEGIES)
    if strategy == "single":
        yield World()
        return
    local = (int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    try:
        place = _connect(executor)
        try:
            yield World(strategy, *place, *local)
        finally:
            torch.distributed.destroy_process_group()
    except UserError as error:
        rank, _ = launched()
        raise error if rank == 0 else UserError(f"rank {rank}: {error}") from error
    except StoppedAtOnceError as stop:
        stop.exit_code = FailedError.exit_code  # the others know nothing of it, and may start again
        raise


def _connect(executor: Executor) -> tuple[int, int]:
    """Connect to the other processes; return the rank of this one and the number of all."""
    has_gpu = torch.cuda.is_available() and executor.device in ("auto", "cuda")
    backend = "cpu:gloo,cuda:nccl" if has_gpu else "gloo"
    timeout = timedelta(minutes=executor.timeout_minutes)
    try:
        store, rank, size = _rendezvous(timeout)
        torch.distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=timeout
        )
    except torch.distributed.DistError as error:
        reason = str(error).strip().splitlines()[0]
        raise FailedError(f"this process does not find the others: {reason}") from error
    return rank, size


def _rendezvous(timeout: timedelta) -> tuple[torch.distributed.distributed_c10d.Store, int, int]:
    """Return the store in which the processes exchange their addresses; rank and world size.

    On one machine torchrun keeps one store over all its restarts. Without a prefix for each of
    them, the first process that is restarted reads the address of a dead one, and waits for it
    forever. On several machines `launch` lets torchrun make a new store each time, and the machines
    count restarts differently: where a process was only asked to stop, that is none.
    """
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, rank, size = next(rendezvous("env://", timeout=timeout))
    store.set_timeout(timeout)
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        store = PrefixStore(f"attempt-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    return store, rank, size


@contextmanager
def report_lost_peers(world: World, step: Callable[[], int]) -> Iterator[None]:
    """Turn the failure of an exchange with the others into a FailedError that states the step."""
    try:
        yield
    except RuntimeError as error:
        if world.size == 1 or not _is_of_exchange(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise FailedError(
            f"rank {world.rank} of {world.size} lost the others at step {step()}: {reason}"
        ) from error


def _is_of_exchange(error: RuntimeError) -> bool:
    if isinstance(error, torch.distributed.DistError):
        return True
    return any(word in str(error) for word in ("gloo", "Gloo", "NCCL", "Connection closed by peer"))
