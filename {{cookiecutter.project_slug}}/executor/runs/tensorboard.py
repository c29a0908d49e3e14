"""TensorBoard event files, written without importing a framework."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from executor.runs.callback import Callback, RunInfo, Values
from executor.runs.throughput import Throughput

# Points are handed over together. TensorBoard's writer is a thread, and to wake it for each of them
# takes a fiftieth of a tiny model's step.
_SECONDS = 5.0


class TensorBoard(Callback):
    """Writes metrics for TensorBoard, which is imported by the first one, since that takes time."""

    def __init__(self, folder: Path, throughput: Throughput) -> None:
        self._folder = folder
        self._throughput = throughput
        self._first = 0
        self._next = 0.0
        self._waiting: list[tuple[int, float, dict[str, float]]] = []
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
        if self._waiting:
            self._hand_over()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        now = time.time()
        self._waiting.append((step, now, {f"{split}/{k}": v for k, v in values.items()}))
        if now >= self._next:
            self._hand_over()
            self._next = now + _SECONDS

    def _hand_over(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._writer is None:
            self._writer = EventFileWriter(str(self._folder), max_queue_size=0)  # no limit
            start = SessionLog(status=SessionLog.START)
            first = Event(step=self._first, wall_time=self._waiting[0][1], session_log=start)
            self._writer.add_event(first)
        for step, now, values in self._waiting:
            points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            self._writer.add_event(Event(step=step, wall_time=now, summary=Summary(value=points)))
        self._waiting.clear()
