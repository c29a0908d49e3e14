"""Writes the metrics of a run into `metrics.jsonl`: one row a line, equal in two equal runs."""

from collections.abc import Callable
from typing import TextIO

from executor.runs.callback import Callback, RunInfo, Values
from executor.runs.run_directory import RunDirectory, json_line
from utils import storage
from utils.errors import UserError


class MetricsLogger(Callback):
    """Appends a row for every `log` and every evaluation.

    `epoch` returns how often the training split was seen after a step.
    """

    def __init__(self, run: RunDirectory, epoch: Callable[[int], float]) -> None:
        self._run = run
        self._epoch = epoch
        self._file: TextIO | None = None

    def start(self, run: RunInfo) -> None:
        """Drop the rows that were written after the checkpoint that the run goes on from."""
        self.end("")
        self._run.forget_after(run.step)

    def log(self, step: int, values: Values) -> None:
        """Write a row of training values."""
        self._write(step, "train", values)

    def evaluation(self, step: int, values: Values) -> None:
        """Write a row of an evaluation on the validation split."""
        self._write(step, "validation", values)

    def end(self, status: str) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, step: int, split: str, values: Values) -> None:
        row = {"step": step, "epoch": round(self._epoch(step), 4), "split": split, **values}
        try:
            if self._file is None:
                self._file = self._run.history.open("a", encoding="utf-8")
            self._file.write(json_line(row))
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"{storage.shown(str(self._run.history))} cannot be written ({error.strerror}). "
                "The checkpoints are whole; make room and start the same command again."
            ) from error
