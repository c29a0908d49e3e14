"""Points that the processes of a training pass together."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, TypeVar

from executor.distributed.process_group import report_lost_peers
from executor.distributed.world import World
from utils.errors import FailedError

Made = TypeVar("Made")

_POLL_SECONDS = 0.5


def first_rank_first(world: World, make: Callable[[], Made]) -> Made:
    """Return what a function makes; the others of a machine begin when its first is done.

    So they find the files that it left. Meanwhile all meet again and again, as they would lose
    somebody who does not come for long.

    Args:
        world: The processes.
        make: Makes it, in each process.

    Raises:
        UserError: What the function raised; the others find the same for themselves.
    """
    if world.size == 1:
        return make()
    if world.local_rank > 0:
        while world.largest(0)[0]:
            pass
        return make()
    making: Future[Made] = Future()
    threading.Thread(target=_fulfil, args=(making, make), daemon=True).start()
    while world.largest(not _is_over(making))[0]:
        pass
    return making.result()


def _fulfil(making: "Future[Made]", make: Callable[[], Made]) -> None:
    try:
        making.set_result(make())
    except BaseException as error:  # whoever asks for the result is told
        making.set_exception(error)


def _is_over(making: "Future[Any]") -> bool:
    """Wait a little; tell whether there is a result."""
    return bool(wait([making], _POLL_SECONDS).done)


def exit_barrier(world: World) -> None:
    """Return when all processes have come here, and none needs another one any more.

    Once is not enough: who is through may go, and the others may still be fetching what it gave. So
    all meet again; by then everybody has met once, and whoever misses somebody need not care.

    Args:
        world: The processes.
    """
    world.largest(0)
    with suppress(FailedError), report_lost_peers(world, lambda: 0):
        world.largest(0)
