"""Writes checkpoints behind the training, which waits only while the state is copied."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

from configs.schema import CFG
from executor.checkpoints import checkpoint
from executor.devices.tensors import Tensor, copy_into
from executor.runs.run_directory import RunDirectory
from executor.training.state import TrainState


class Checkpointer:
    """Saves a run's state now and then; one checkpoint is written at a time.

    A copy of the state is kept in memory for it. What goes wrong while writing is told at the next
    call.
    """

    def __init__(self, cfg: CFG, run: RunDirectory) -> None:
        """Prepare to write into a run's folder.

        Args:
            cfg: `train.checkpoint_minutes` and `keep_checkpoints` are used.
            run: Where.
        """
        self._run = run
        self._keep = cfg.train.keep_checkpoints
        minutes = cfg.train.checkpoint_minutes
        self._seconds = float("inf") if minutes is None else 60.0 * minutes
        self._next = time.monotonic() + self._seconds
        self._buffers: dict[str, Tensor] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def is_due(self) -> bool:
        """Return whether `train.checkpoint_minutes` have passed since the last checkpoint."""
        return time.monotonic() >= self._next

    def save(self, state: TrainState) -> None:
        """Copy the state and begin to write it; wait first for the checkpoint before.

        Raises:
            UserError: If the checkpoint before could not be written, or this one holds what cannot
                be saved.
        """
        self.wait()
        self._next = time.monotonic() + self._seconds
        plain, tensors = checkpoint.take_apart(state.state_dict())
        self._buffers = copy_into(tensors, self._buffers)
        parts = checkpoint.Parts(plain, dict(self._buffers))
        loop_state = state.loop_state
        self._writing = self._writer.submit(
            self._write, loop_state.step, loop_state.best_step, parts
        )

    def wait(self) -> None:
        """Return when the last checkpoint is on disk and verified, and old ones are removed.

        Raises:
            UserError: If it could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Let the writer come to its end; what went wrong with it is told by `wait`."""
        self._writer.shutdown(wait=True)

    def _write(self, step: int, best_step: int | None, parts: checkpoint.Parts) -> None:
        self._run.sync_history()
        checkpoint.write(self._run.checkpoints, step, parts)
        checkpoint.prune(self._run.checkpoints, self._keep, best_step)
        self._run.publish()
