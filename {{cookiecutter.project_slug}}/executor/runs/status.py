"""What a run is doing: a small file in its folder, written by training, read by whoever asks."""

import json
import math
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from executor.runs.callback import Callback, RunInfo, Values
from executor.runs.lock import process_exists
from executor.runs.throughput import Throughput
from utils import storage

_STATES = ("running", "finished", "stopped", "diverged", "failed")
_SILENT_SECONDS = 600.0  # after which a run on another machine counts as dead


@dataclass(frozen=True)
class Status:
    """The content of the file."""

    status: str
    """running, finished, stopped, diverged or failed."""
    step: int
    """Updates done."""
    total_steps: int
    """The last step of the run."""
    best: float | None
    """The best value of `monitor` so far; None: it is not known yet."""
    monitor: str
    """The value that decides which weights are best."""
    updated: str
    """When the file was written: ISO 8601, UTC."""
    pid: int
    host: str
    samples_per_second: float | None
    """None: it is not known yet."""

    @property
    def time(self) -> datetime:
        """When the file was written."""
        return datetime.fromisoformat(self.updated)


class StatusFile(Callback):
    """Keeps the file up to date while a run trains; `best` returns the best value so far."""

    def __init__(
        self, path: Path, monitor: str, throughput: Throughput, best: Callable[[], float | None]
    ) -> None:
        self._path = path
        self._monitor = monitor
        self._throughput = throughput
        self._best = best
        self._step = self._total_steps = 0

    def start(self, run: RunInfo) -> None:
        """Say that the run is running."""
        self._step, self._total_steps = run.step, run.total_steps
        self._write("running")

    def step(self, step: int, values: Values) -> None:
        """Remember how far the run is."""
        self._step = step

    def checkpoint(self, step: int, folder: str) -> None:
        """Say how far the run is."""
        self._write("running")

    def end(self, status: str) -> None:
        """Say how the run ended."""
        self._write(status)

    def _write(self, status: str) -> None:
        best = self._best()
        content = Status(
            status=status,
            step=self._step,
            total_steps=self._total_steps,
            best=best if best is not None and math.isfinite(best) else None,
            monitor=self._monitor,
            updated=datetime.now(UTC).isoformat(timespec="seconds"),
            pid=os.getpid(),
            host=platform.node(),
            samples_per_second=self._throughput.samples_per_second,
        )
        storage.write_text(str(self._path), json.dumps(asdict(content), indent=2) + "\n")


def read(path: Path) -> Status | None:
    """Return what the file says, or None if it is not there or says something else."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content = Status(**{name: values[name] for name in Status.__dataclass_fields__})
        is_known = content.status in _STATES and content.time.tzinfo is not None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if is_known else None


def is_alive(status: Status) -> bool:
    """Return whether the process that wrote a status still runs.

    For another machine, and on Windows, where a process cannot be looked for without harm: whether
    the file was written in the last ten minutes.
    """
    if status.host == platform.node() and os.name == "posix":
        return process_exists(status.pid)
    return (datetime.now(UTC) - status.time).total_seconds() < _SILENT_SECONDS
