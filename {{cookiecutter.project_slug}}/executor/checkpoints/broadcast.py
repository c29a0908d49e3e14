"""Gives every process the state that the first one read."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from executor.checkpoints.checkpoint import join, take_apart
from executor.devices.tensors import read_tensors, write_tensors
from executor.distributed.world import World


def broadcast_state(world: World, value: Any) -> Any:
    """Return in every process the first one's state, or another value that `take_apart` takes.

    So only one needs the run's folder, and all go on from the same checkpoint.
    """
    if world.size == 1:
        return value
    plain, tensors = take_apart(value if world.is_first else None)
    plain = json.loads(world.broadcast(json.dumps(plain).encode("utf-8")))
    with TemporaryDirectory(prefix="shared-") as folder:
        path = Path(folder, "tensors")
        write_tensors(path, tensors)
        path.write_bytes(world.broadcast(path.read_bytes()))
        return join(plain, read_tensors(path))
