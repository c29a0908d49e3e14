"""TensorBoard event files, written without importing a framework."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardWriter:
    """Writes scalars for TensorBoard; opened by the first one, since importing costs time."""

    def __init__(self, folder: Path, step: int) -> None:
        """Prepare a file in `folder`; points after `step` of an earlier process are superseded."""
        self._folder = folder
        self._step = step
        self._writer: Any = None

    def scalars(self, step: int, when: float, values: Mapping[str, float]) -> None:
        """Add one point for each value, measured so many seconds after 1970."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._writer is None:
            self._open()
        points = [Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
        event = Event(step=step, wall_time=when, summary=Summary(value=points))
        self._writer.add_event(event)

    def close(self) -> None:
        """Write what is still waiting."""
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(self._folder))
        start = SessionLog(status=SessionLog.START)
        event = Event(step=self._step + 1, wall_time=time.time(), session_log=start)
        self._writer.add_event(event)


class NoEvents:
    """Stands in where TensorBoard is not wanted."""

    def scalars(self, step: int, when: float, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
