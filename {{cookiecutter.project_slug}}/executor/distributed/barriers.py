"""Synchronisation points of the processes of a training."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TypeVar

from executor.distributed.process_group import report_lost_peers
from executor.distributed.world import World
from utils.errors import FailedError

Made = TypeVar("Made")

_POLL_SECONDS = 0.5


def first_rank_first(world: World, make: Callable[[], Made]) -> Made:
    """Return what `make` returns or raises; the first process of a machine calls it first.

    So the others find the files that it left. Meanwhile all exchange a number again and again: a
    process that is silent for too long counts as lost.
    """
    if world.size == 1:
        return make()
    if world.local_rank > 0:
        while world.largest(0)[0]:
            pass
        return make()
    making: Future[Made] = Future()

    def fulfil() -> None:
        try:
            making.set_result(make())
        except BaseException as error:
            making.set_exception(error)

    threading.Thread(target=fulfil, daemon=True).start()
    while world.largest(not wait([making], _POLL_SECONDS).done)[0]:
        pass
    return making.result()


def exit_barrier(world: World) -> None:
    """Return when all processes have come here, and none needs another one any more.

    One exchange is not enough: a process that has finished it may exit while others still read
    from it. A failure of the second exchange does not matter, since all have passed the first.
    """
    world.largest(0)
    with suppress(FailedError), report_lost_peers(world, lambda: 0):
        world.largest(0)
