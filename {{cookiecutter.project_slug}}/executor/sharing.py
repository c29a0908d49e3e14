"""What the processes of a training have in common: checkpoints that one reads, files on disk."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from executor.checkpoint import join, take_apart
from executor.joining import listening
from executor.tensors import Tensor, read_tensors, write_tensors
from executor.world import World
from utils.errors import FailedError

Made = TypeVar("Made")

_POLL_SECONDS = 0.5


def shared(world: World, value: Any) -> Any:
    """Return what the first process gave, in every process.

    So only one needs the run's folder, and all go on from the same checkpoint.

    Args:
        world: The processes.
        value: Nested dictionaries and lists of tensors and plain values, as a state is. That of the
            first process counts.
    """
    if world.size == 1:
        return value
    plain, tensors = take_apart(value) if world.is_first else (None, {})
    plain = json.loads(world.broadcast(json.dumps(plain).encode("utf-8")))
    return join(plain, _unpacked(world.broadcast(_packed(tensors) if world.is_first else b"")))


def in_turn(world: World, make: Callable[[], Made]) -> Made:
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


def leave_together(world: World) -> None:
    """Return when all processes have come here, and none needs another one any more.

    Once is not enough: who is through may go, and the others may still be fetching what it gave. So
    all meet again; by then everybody has met once, and whoever misses somebody need not care.

    Args:
        world: The processes.
    """
    world.largest(0)
    with suppress(FailedError), listening(world, lambda: 0):
        world.largest(0)


def _packed(tensors: dict[str, Tensor]) -> bytes:
    with TemporaryDirectory(prefix="shared-") as folder:
        path = Path(folder, "tensors")
        write_tensors(path, tensors)
        return path.read_bytes()


def _unpacked(content: bytes) -> dict[str, Tensor]:
    with TemporaryDirectory(prefix="shared-") as folder:
        path = Path(folder, "tensors")
        path.write_bytes(content)
        return read_tensors(path)
