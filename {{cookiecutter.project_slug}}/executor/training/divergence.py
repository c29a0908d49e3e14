"""What becomes of a run when loss or gradient is NaN or infinite: `train.on_divergence`."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from configs.schema import CFG
from dataloader.batches import Batch
from executor.training.loop_state import LoopState, SkippedBatch, StepMetrics
from executor.training.outputs import Saves
from executor.training.state import TrainState
from executor.training.step import TrainStep
from utils.errors import DivergedError
from utils.logs import log

_SHOWN = 8
_ADVICE = (
    "Lower train.optimizer's learning rate, set train.clip_norm=1.0, try executor.precision=fp32, "
    "or leave such batches out: train.on_divergence=skip."
)


class DivergenceGuard:
    """Takes steps, and does as `train.on_divergence` says about those without an update."""

    def __init__(
        self,
        cfg: CFG,
        state: TrainState,
        train_step: TrainStep,
        saver: Saves,
        newest: Callable[[], dict[str, Any] | None],
    ) -> None:
        """Prepare; with `rewind` there is a checkpoint from now on.

        Args:
            cfg: `train.on_divergence` and `divergence_limit` are used.
            state: That of the run.
            train_step: Changes it.
            saver: Writes the checkpoints.
            newest: Returns the newest state that was saved, if there is one.
        """
        policy, most = cfg.train.on_divergence, cfg.train.divergence_limit
        remedies: dict[str, Callable[[StepMetrics, SkippedBatch], bool]] = {
            "stop": _stop,
            "skip": partial(_skip, state, most),
            "rewind": partial(_go_back, state, most, saver, newest),
        }
        self._goes_on_after = remedies[policy]
        self._train_step = train_step
        if policy == "rewind" and state.loop_state.step == 0:
            saver.save(state)

    def __call__(self, groups: Iterable[Batch]) -> Iterator[list[StepMetrics]]:
        """Take the steps of groups of batches.

        Yields:
            What `train_step` yields. It ends early where the state has gone back to a checkpoint.

        Raises:
            DivergedError: If the run shall not go on.
        """
        for taken in chain.from_iterable(map(self._train_step, groups)):
            batch = taken[0].left_out
            if batch is not None and not self._goes_on_after(taken[0], batch):
                return
            yield taken


def diverged(values: StepMetrics, batch: SkippedBatch) -> DivergedError:
    """Return the error for a step without an update: what happened, and what to do."""
    return DivergedError(f"{_told(values, batch)} {_ADVICE}")


def _stop(values: StepMetrics, batch: SkippedBatch) -> bool:
    """End the run."""
    raise diverged(values, batch)


def _skip(state: TrainState, most: int, values: StepMetrics, batch: SkippedBatch) -> bool:
    """Take note of the batch; return that the steps go on."""
    loop_state = state.loop_state
    loop_state.left_out = _with_another(loop_state, most, values, batch)
    count = len(loop_state.left_out)
    log.warning("%s They are left out (%d of at most %d).", _told(values, batch), count, most)
    return True


def _go_back(
    state: TrainState,
    most: int,
    saver: Saves,
    newest: Callable[[], dict[str, Any] | None],
    values: StepMetrics,
    batch: SkippedBatch,
) -> bool:
    """Go back to the newest checkpoint, to go on without the batch; return that steps end here."""
    left_out = _with_another(state.loop_state, most, values, batch)
    saver.wait()  # for one that is being written
    saved = newest()
    if saved is None:
        raise DivergedError(f"{_told(values, batch)} There is no checkpoint any more. {_ADVICE}")
    state.load_state_dict(saved)
    state.loop_state.left_out = left_out
    log.warning(
        "%s They are left out (%d of at most %d); training goes back to step %d.",
        _told(values, batch),
        len(left_out),
        most,
        state.loop_state.step,
    )
    return False


def _with_another(
    loop_state: LoopState, most: int, values: StepMetrics, batch: SkippedBatch
) -> list[int]:
    """Return where the batches begin that are left out, this one among them.

    Raises:
        DivergedError: If these are more than `most`.
    """
    if len(loop_state.left_out) >= most:
        raise DivergedError(
            f"{_told(values, batch)} As many batches as train.divergence_limit={most} allows "
            f"were left out before. {_ADVICE}"
        )
    return [*loop_state.left_out, batch.position]


def _told(values: StepMetrics, batch: SkippedBatch) -> str:
    """Return what happened, as two sentences."""
    listed = ", ".join(str(index) for index in batch.indices[:_SHOWN])
    more = ", ..." if len(batch.indices) > _SHOWN else ""
    return (
        f"step {values.step} gave loss {values.loss} and gradient norm {values.grad_norm}; the "
        f"weights are unchanged. Training samples of the step: {listed}{more}."
    )
