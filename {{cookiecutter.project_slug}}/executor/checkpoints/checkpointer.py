"""Writes checkpoints behind the training, which waits only while the state is copied."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from executor.checkpoints import checkpoint
from executor.devices.tensors import Tensor, copy_into
from executor.runs.run_directory import RunDirectory


class Checkpointer:
    """Saves a run's state; one checkpoint is written at a time.

    A copy of the state is kept in memory for it. What goes wrong while writing is raised by the
    next call of `save` or `wait`, as a UserError.
    """

    def __init__(self, run: RunDirectory, keep: int, minutes: float | None) -> None:
        """Keep the newest `keep` checkpoints and the best; after `minutes` one is due."""
        self._run = run
        self._keep = keep
        self._seconds = float("inf") if minutes is None else 60.0 * minutes
        self._next = time.monotonic() + self._seconds
        self._buffers: dict[str, Tensor] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def is_due(self) -> bool:
        """Return whether `train.checkpoint_minutes` have passed since the last checkpoint."""
        return time.monotonic() >= self._next

    def save(self, step: int, best_step: int | None, state: dict[str, Any]) -> None:
        """Copy a state and begin to write it; wait first for the checkpoint before."""
        self.wait()
        self._next = time.monotonic() + self._seconds
        plain, tensors = checkpoint.take_apart(state)
        self._buffers = copy_into(tensors, self._buffers)
        copies = dict(self._buffers)
        self._writing = self._writer.submit(self._write, step, best_step, plain, copies)

    def wait(self) -> None:
        """Return when the last checkpoint is on disk and verified, and old ones are removed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Wait for the writer to end; what went wrong is raised by `wait`."""
        self._writer.shutdown(wait=True)

    def _write(
        self, step: int, best_step: int | None, plain: Any, tensors: dict[str, Tensor]
    ) -> None:
        self._run.sync_history()
        checkpoint.write(self._run.checkpoints, step, plain, tensors)
        checkpoint.prune(self._run.checkpoints, self._keep, best_step)
        self._run.publish()
