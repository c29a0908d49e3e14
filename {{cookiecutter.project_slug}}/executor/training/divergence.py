"""What becomes of a run when loss or gradient is NaN or infinite: `train.on_divergence`."""

from collections.abc import Callable
from typing import Any

from configs.schema import Train
from executor.training.loop_state import SkippedBatch, StepMetrics
from executor.training.state import TrainState
from utils.errors import DivergedError, first_few
from utils.logs import log

_ADVICE = (
    "Lower train.optimizer's learning rate, set train.clip_norm=1.0, try executor.precision=fp32, "
    "or leave such batches out: train.on_divergence=skip."
)


class DivergenceGuard:
    """Does as `train.on_divergence` says about a step without an update."""

    def __init__(
        self, train: Train, state: TrainState, newest: Callable[[], dict[str, Any] | None]
    ) -> None:
        """Remember what is needed; `newest` returns the newest state that was saved, if any."""
        self._policy = train.on_divergence
        self._limit = train.divergence_limit
        self._state = state
        self._newest = newest

    def __call__(self, metrics: StepMetrics) -> bool:
        """Return whether the run goes on from here, not from a checkpoint; or end it."""
        batch = metrics.skipped
        if batch is None:
            return True
        if self._policy == "stop":
            raise diverged(metrics, batch)
        state, what = self._state, _described(metrics, batch)
        if len(state.loop_state.skipped) >= self._limit:
            raise DivergedError(
                f"{what} As many batches as train.divergence_limit={self._limit} allows "
                f"were left out before. {_ADVICE}"
            )
        skipped = [*state.loop_state.skipped, batch.offset]
        count = f"They are left out ({len(skipped)} of at most {self._limit})"
        if self._policy == "skip":
            state.loop_state.skipped = skipped
            log.warning("%s %s.", what, count)
            return True
        saved = self._newest()
        if saved is None:
            raise DivergedError(f"{what} There is no checkpoint any more. {_ADVICE}")
        state.load_state_dict(saved)
        state.loop_state.skipped = skipped
        log.warning("%s %s; training goes back to step %d.", what, count, state.loop_state.step)
        return False


def diverged(metrics: StepMetrics, batch: SkippedBatch) -> DivergedError:
    """Return the error for a step without an update: what happened, and what to do."""
    return DivergedError(f"{_described(metrics, batch)} {_ADVICE}")


def _described(metrics: StepMetrics, batch: SkippedBatch) -> str:
    return (
        f"step {metrics.step} gave loss {metrics.loss} and gradient norm {metrics.grad_norm}; the "
        f"weights are unchanged. Training samples of the step: {first_few(batch.indices, 8)}."
    )
