"""What a training step measures."""

from typing import NamedTuple


class LeftOut(NamedTuple):
    """The samples of a step without an update, since its loss or gradient was not finite."""

    position: int
    """Where they begin in the stream of samples."""
    indices: tuple[int, ...]
    """Which samples of the split they are."""


class StepValues(NamedTuple):
    """What one step measured."""

    step: int
    """Its number, counted from 1."""
    loss: float
    """Mean over the batch, before the update."""
    grad_norm: float
    """L2 norm of the whole gradient, before clipping."""
    learning_rate: float
    """The rate of the update, that of the first parameter group."""
    left_out: LeftOut | None = None
    """None where there was an update."""
