"""TensorBoard event files, written without importing a framework."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from executor.runs.callback import Callback, RunInfo, Values
from executor.runs.throughput import Throughput


class TensorBoard(Callback):
    """Writes metrics for TensorBoard, which is imported by the first one, since that takes time."""

    def __init__(self, folder: Path, throughput: Throughput) -> None:
        self._folder = folder
        self._throughput = throughput
        self._first = 0
        self._writer: Any = None

    def start(self, run: RunInfo) -> None:
        """Begin a file; points after the run's step are superseded."""
        self.end("")
        self._first = run.step + 1

    def log(self, step: int, values: Values) -> None:
        """Write training values, and how fast the training goes."""
        rate = self._throughput.samples_per_second
        more = {} if rate is None else {"samples_per_second": rate}
        self._write(step, "train", {**values, **more})

    def evaluation(self, step: int, values: Values) -> None:
        """Write the values of an evaluation."""
        self._write(step, "validation", values)

    def end(self, status: str) -> None:
        """Write what is still waiting."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        now = time.time()
        if self._writer is None:
            self._writer = EventFileWriter(str(self._folder))
            start = SessionLog(status=SessionLog.START)
            self._writer.add_event(Event(step=self._first, wall_time=now, session_log=start))
        points = [Summary.Value(tag=f"{split}/{k}", simple_value=v) for k, v in values.items()]
        self._writer.add_event(Event(step=step, wall_time=now, summary=Summary(value=points)))
