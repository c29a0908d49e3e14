"""Checkpoints: complete or absent, verified when read, and nothing in them is ever executed.

A checkpoint is two files: `step-00000200.safetensors` with the tensors, and `step-00000200.json`
with everything else and the SHA-256 of both. The JSON is written last and is what makes the
checkpoint count, so a machine may stop at any moment. `checkpointer.py` writes them in training.
"""

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from executor.devices.tensors import Tensor, read_tensors, write_tensors
from utils import storage
from utils.errors import UserError
from utils.logs import log

_NAME = re.compile(r"^step-(\d{8,})\.json$")


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the checkpoint of a step; see `take_apart` and `write`."""
    write(folder, step, *take_apart(state))


def take_apart(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return a state as JSON can hold it, tensors replaced by names; and the tensors, not copied.

    A state is nested dictionaries and lists of tensors, numbers, texts, booleans and None; anything
    else is a UserError.
    """
    tensors: dict[str, Tensor] = {}
    return _split(state, "", tensors), tensors


def write(folder: Path, step: int, plain: Any, tensors: dict[str, Tensor]) -> None:
    """Write what `take_apart` returned, and read it again to verify it; a UserError if it fails."""
    path = folder / f"step-{step:08d}.safetensors"
    written = path.with_suffix(f".{os.getpid()}.tmp")
    counted = path.with_suffix(f".json.{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(written, tensors)
        with written.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        record = {"step": step, "sha256": digest, "state": plain}
        record["check"] = _digest(record)
        storage.write_synced(str(counted), json.dumps(record).encode("utf-8"))
        os.replace(written, path)
        storage.replace(str(counted), str(path.with_suffix(".json")))
        _verified(folder, step)
    except (OSError, ValueError) as error:
        for temporary in (written, counted):
            with suppress(OSError):
                temporary.unlink()
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{storage.shown(str(path))}: the checkpoint cannot be written ({reason}). "
            "Earlier checkpoints are whole; make room and start the same command again."
        ) from error


def steps(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint, oldest first."""
    if not folder.is_dir():
        return []
    found = (_NAME.match(entry.name) for entry in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def load(folder: Path, step: int) -> dict[str, Any]:
    """Return the state of a step's checkpoint; a ValueError or OSError if it is damaged."""
    path, plain = _verified(folder, step)
    state: dict[str, Any] = join(plain, read_tensors(path))
    return state


def load_newest(folder: Path) -> dict[str, Any] | None:
    """Return the newest state that verifies; None without any checkpoint.

    It is a UserError if there are checkpoints and none of them verifies.
    """
    candidates = steps(folder)
    for step in reversed(candidates):
        try:
            return load(folder, step)
        except (OSError, ValueError, KeyError) as error:
            log.warning("checkpoint of step %d is damaged (%s); trying the one before", step, error)
    if candidates:
        raise UserError(
            f"{storage.shown(str(folder))}: none of the {len(candidates)} checkpoints is whole. "
            "Choose another run.dir to start anew, or restore the folder from a backup."
        )
    return None


def prune(folder: Path, keep: int, best: int | None) -> None:
    """Remove all but the newest `keep` checkpoints and the best, and what killed processes left."""
    known = steps(folder)
    kept = {*known[-keep:], best}
    for step in known:
        if step not in kept:  # first the file that makes a checkpoint count
            (folder / f"step-{step:08d}.json").unlink(missing_ok=True)
    names = set(os.listdir(folder))
    for name in names:
        stem, _, kind = name.rpartition(".")
        lost = kind == "safetensors" and f"{stem}.json" not in names
        if (lost and name.startswith("step-")) or kind == "tmp":
            (folder / name).unlink(missing_ok=True)


def _verified(folder: Path, step: int) -> tuple[Path, Any]:
    """Return the file of tensors and the rest of a checkpoint; see `load` for the errors."""
    path = folder / f"step-{step:08d}.safetensors"
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    is_intact = isinstance(record, dict) and record.pop("check", None) == _digest(record)
    if not is_intact or digest != record["sha256"]:
        raise ValueError("its content does not match its checksum")
    return path, record["state"]


def _digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a record, the same before it is written and after it is read."""
    return hashlib.sha256(json.dumps(record).encode("utf-8")).hexdigest()


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Add the tensors to `tensors` and return the rest as what JSON can hold."""
    if isinstance(value, Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, dict):
        return {"items": [[k, _split(v, f"{path}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_split(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UserError(
        f"the state of the run cannot be saved: {path} is a {type(value).__name__}. "
        "Optimizers and schedules must keep tensors and plain values in their state."
    )


def join(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the state that `take_apart` separated."""
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "items" in value:
        return {key: join(inner, tensors) for key, inner in value["items"]}
    return [join(inner, tensors) for inner in value["list"]]
