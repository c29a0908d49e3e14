"""Gives every process the state that the first one read."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from executor.checkpoints.checkpoint import join, take_apart
from executor.devices.tensors import Tensor, read_tensors, write_tensors
from executor.distributed.world import World


def broadcast_state(world: World, value: Any) -> Any:
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
