"""What a run is doing: a small file in its folder, written by training, read by whoever asks.

It names no framework and lies outside of `executor`, whose import may load one: a hundred runs are
looked at in the time that a framework takes to start.
"""

import json
import math
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from utils import storage

State = Literal["running", "finished", "stopped", "diverged", "failed"]

FILE_NAME = "status.json"
_SILENT_SECONDS = 600.0  # after which a run on another machine counts as dead


@dataclass(frozen=True)
class Status:
    """The content of the file."""

    status: State
    step: int
    """Updates done."""
    total_steps: int
    """The last step of the run."""
    best: float | None
    """The best value of `monitor` so far."""
    monitor: str
    """The value that decides which weights are best."""
    updated: str
    """When the file was written: ISO 8601, UTC."""
    pid: int
    """The process that trains."""
    host: str
    """The machine that it runs on."""
    images_per_second: float | None = None
    """How fast it trains; None: that is not known yet, or an older version wrote the file."""

    @property
    def time(self) -> datetime:
        """When the file was written."""
        return datetime.fromisoformat(self.updated)


def write(
    path: Path,
    status: State,
    *,
    step: int,
    total_steps: int,
    best: float | None,
    monitor: str,
    images_per_second: float | None = None,
) -> None:
    """Say what this process does with a run; a reader sees the old text or the new one.

    Args:
        path: The file, `FILE_NAME` in the run's folder.
        status: What the run is doing from now on.
        step: Updates done.
        total_steps: The last step of the run.
        best: The best value of `monitor` so far; None and what is no finite number: there is none.
        monitor: The value that decides which weights are best.
        images_per_second: How fast this process trains; None: too few steps to tell.

    Raises:
        UserError: If the file cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    best = best if best is not None and math.isfinite(best) else None
    who = (now, os.getpid(), platform.node())
    content = Status(status, step, total_steps, best, monitor, *who, images_per_second)
    storage.write_text(str(path), json.dumps(asdict(content), indent=2) + "\n")


def read(path: Path) -> Status | None:
    """Return what the file says, or None if it is not there or says something else."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content = Status(**{name: values[name] for name in _fields(values)})
        is_known = content.status in get_args(State) and content.time.tzinfo is not None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if is_known else None


def _fields(values: dict[str, Any]) -> list[str]:
    """Return the fields that a file must have, and the one that older versions did not write."""
    optional = "images_per_second"
    return [n for n in Status.__dataclass_fields__ if n != optional or n in values]


def is_alive(status: Status) -> bool:
    """Return whether the process that wrote a status still runs.

    On this machine the process is looked for; of another machine, and on Windows, where that
    cannot be done without harm, a file that was written in the last ten minutes is believed.
    """
    if status.host == platform.node() and os.name == "posix":
        try:
            os.kill(status.pid, 0)  # sends nothing
        except ProcessLookupError:
            return False
        except PermissionError:  # somebody else's process
            return True
        return True
    return (datetime.now(UTC) - status.time).total_seconds() < _SILENT_SECONDS
