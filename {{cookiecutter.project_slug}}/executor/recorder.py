"""Writes what is measured to everywhere it is read: `metrics.jsonl`, TensorBoard and the screen."""

import time
from collections.abc import Mapping

from configs.schema import CFG
from executor.events import EventFile, NoEvents
from executor.plan import Plan
from executor.progress import open_progress
from executor.run_directory import RunDirectory


class Recorder:
    """One place for a run's numbers, so that the loop has one line for each."""

    def __init__(self, cfg: CFG, run: RunDirectory, plan: Plan, step: int) -> None:
        """Open the outputs of a run that has done `step` steps; later rows are forgotten."""
        run.forget_after(step)
        self._run = run
        self._plan = plan
        self._events = EventFile(run.events, step) if cfg.run.tensorboard else NoEvents()
        self._progress = open_progress(plan.total_steps, step, plan.batch_size, cfg.train.monitor)
        self._since = (time.monotonic(), step)

    def step(self, step: int, loss: float) -> None:
        """Show a finished step."""
        self._progress.step(step, loss)

    def training(self, step: int, values: Mapping[str, float]) -> None:
        """Record a row of training values.

        Times go to TensorBoard only: `metrics.jsonl` is equal in two equal runs.
        """
        self._run.append({"step": step, "epoch": self._epoch(step), "split": "train", **values})
        now = time.monotonic()
        seconds, steps = now - self._since[0], step - self._since[1]
        speed = {"images_per_second": steps * self._plan.batch_size / max(seconds, 1e-9)}
        self._since = (now, step)
        tags = {f"train/{name}": value for name, value in {**values, **speed}.items()}
        self._events.scalars(step, tags)

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Record the values of an evaluation on the validation split."""
        row = {"step": step, "epoch": self._epoch(step), "split": "validation", **values}
        self._run.append(row)
        self._events.scalars(step, {f"validation/{name}": v for name, v in values.items()})
        self._progress.evaluation(step, values)

    def close(self) -> None:
        """Write what is still waiting and clear the screen."""
        self._events.close()
        self._progress.close()

    def _epoch(self, step: int) -> float:
        return round(self._plan.epoch(step), 4)
