"""Where a run is, and which of its weights were best: plain numbers, saved with the weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from configs.schema import Train
from utils.errors import UserError


class SkippedBatch(NamedTuple):
    """The samples of a step without an update, since its loss or gradient was not finite."""

    offset: int  # where they begin in the stream of samples
    indices: tuple[int, ...]  # which samples of the split they are


class StepMetrics(NamedTuple):
    """What one step measured."""

    step: int  # counted from 1
    loss: float  # mean over the batch, before the update
    grad_norm: float  # L2 norm of the whole gradient, before clipping
    learning_rate: float  # of the update, that of the first parameter group
    skipped: SkippedBatch | None = None  # None where there was an update


@dataclass
class LoopState:
    """What a run has done and reached so far."""

    step: int = 0  # steps done, those without an update among them
    sample_offset: int = 0  # where the next batch begins in the stream, unless it is skipped
    best_value: float | None = None  # of `train.monitor`
    best_step: int | None = None
    bad_evals: int = 0  # evaluations since the best value
    loss_sum: float = 0.0  # of the losses since the last row of training metrics
    loss_count: int = 0
    # Where the batches begin that nothing is learned from (`train.on_divergence`).
    skipped: list[int] = field(default_factory=list)

    def record_evaluation(self, values: Mapping[str, float], train: Train) -> None:
        """Take note of whether an evaluation is the best, which NaN never is, or how long ago."""
        value = monitored(values, train.monitor)
        margin = 0.0 if train.early_stopping is None else train.early_stopping.min_delta
        sign = 1.0 if train.monitor_mode == "max" else -1.0
        is_first = self.best_value is None and not math.isnan(value)
        if is_first or (self.best_value is not None and sign * (value - self.best_value) > margin):
            self.best_value, self.best_step, self.bad_evals = value, self.step, 0
        else:
            self.bad_evals += 1

    def stops_early(self, train: Train) -> bool:
        """Return whether early stopping ends the run."""
        return train.early_stopping is not None and self.bad_evals >= train.early_stopping.patience

    def take_mean_loss(self) -> float:
        """Return the mean loss since the last call, NaN without any, and begin the next mean."""
        mean = self.loss_sum / self.loss_count if self.loss_count else math.nan
        self.loss_sum, self.loss_count = 0.0, 0
        return mean


def monitored(values: Mapping[str, float], monitor: str) -> float:
    """Return the value that decides which weights are best; a UserError says if there is none."""
    if monitor not in values:
        raise UserError(
            f"train.monitor={monitor!r} is not among the values of an evaluation: "
            f"{', '.join(values)}. Choose one of them, or add a metric that yields it."
        )
    return values[monitor]
