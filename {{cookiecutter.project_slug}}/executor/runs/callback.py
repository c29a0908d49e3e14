"""What is called while a model trains; derive from `Callback` to track runs elsewhere.

A callback of one's own overrides what it needs and is named in `run.callbacks: [module:object]`.
The first of several processes calls it; the others have none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, float]


@dataclass(frozen=True)
class RunInfo:
    """What a callback may want to know about the run; plain values."""

    folder: str
    """The local folder that the run writes to."""
    config: dict[str, Any]
    """All settings, nested by section."""
    step: int
    """Steps that were done before."""
    total_steps: int
    """The last step of the run."""
    batch_size: int
    """Samples of a step, over all processes."""
    device: str
    parameters: int
    """Numbers in the model."""


class Callback:
    """Does nothing; override what is needed."""

    def start(self, run: RunInfo) -> None:
        """Training begins, or goes on after a checkpoint, or after it went back to one."""

    def step(self, step: int, values: Values) -> None:
        """A step is done: its `loss`, `grad_norm` and `learning_rate`."""

    def log(self, step: int, values: Values) -> None:
        """A row is due (`run.log_every`): as for `step`, `loss` is the mean since the last row."""

    def evaluation(self, step: int, values: Values) -> None:
        """The model was evaluated on the validation split."""

    def checkpoint(self, step: int, folder: str) -> None:
        """A checkpoint of this step is being written to a folder, by a thread."""

    def end(self, status: str) -> None:
        """Training ends: `finished`, `stopped` (by a signal), `diverged` or `failed`."""
