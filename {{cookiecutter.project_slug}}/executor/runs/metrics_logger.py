"""Writes what is measured to everywhere it is read: `metrics.jsonl`, TensorBoard and the screen."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from configs.schema import CFG
from executor.runs.progress import open_progress
from executor.runs.run_directory import RunDirectory
from executor.runs.tensorboard import NoEvents, TensorBoardWriter
from executor.training.plan import Plan

_WRITE_SECONDS = 1.0  # between two writings; to write a row can take longer than a small step


class _Record(NamedTuple):
    row: dict[str, Any]
    """For `metrics.jsonl`."""
    when: float
    """Seconds since 1970."""
    points: dict[str, float]
    """For TensorBoard."""


class MetricsLogger:
    """One place for a run's numbers, so that the loop has one line for each.

    Rows of training values that come less than a second after the last ones were written wait for
    the next ones, for an evaluation or for a checkpoint, and are then written together.
    """

    def __init__(self, cfg: CFG, run: RunDirectory, plan: Plan, step: int) -> None:
        """Open the outputs of a run that has done `step` steps; later rows are forgotten."""
        run.forget_after(step)
        self._run = run
        self._plan = plan
        self._events = TensorBoardWriter(run.events, step) if cfg.run.tensorboard else NoEvents()
        self._progress = open_progress(plan.total_steps, step, plan.batch_size, cfg.train.monitor)
        self._since = (time.monotonic(), step)
        self._waiting: list[_Record] = []
        self._next_write = 0.0  # the first row shows that all is well

    def step(self, step: int, loss: float) -> None:
        """Show a finished step."""
        self._progress.step(step, loss)

    def training(self, step: int, values: Mapping[str, float]) -> None:
        """Record a row of training values.

        Times go to TensorBoard only: `metrics.jsonl` is equal in two equal runs.
        """
        now = time.monotonic()
        seconds, steps = now - self._since[0], step - self._since[1]
        speed = {"images_per_second": steps * self._plan.batch_size / max(seconds, 1e-9)}
        self._since = (now, step)
        self._note(step, "train", values, speed)
        if now >= self._next_write:
            self._next_write = now + _WRITE_SECONDS
            self.write()

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Record the values of an evaluation on the validation split."""
        self._note(step, "validation", values, {})
        self.write()
        self._progress.evaluation(step, values)

    def write(self) -> None:
        """Write what waits; a checkpoint needs all rows up to its step."""
        if not self._waiting:
            return
        self._run.append([record.row for record in self._waiting])
        for record in self._waiting:
            self._events.scalars(record.row["step"], record.when, record.points)
        self._waiting.clear()

    def close(self) -> None:
        """Write what is still waiting and clear the screen."""
        self.write()
        self._events.close()
        self._progress.close()

    def _note(
        self, step: int, split: str, values: Mapping[str, float], more: Mapping[str, float]
    ) -> None:
        """Keep values for both files, and more of them for TensorBoard."""
        row = {"step": step, "epoch": round(self._plan.epoch(step), 4), "split": split, **values}
        points = {f"{split}/{name}": value for name, value in {**values, **more}.items()}
        self._waiting.append(_Record(row, time.time(), points))
