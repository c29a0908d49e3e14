"""What a training step measures, and what it may run out of."""

from typing import Literal, NamedTuple


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


class Shortage(NamedTuple):
    """Memory that there was not enough of; what is not known is None."""

    where: Literal["CPU", "GPU"]
    """Whose memory it is."""
    asked: int | None = None
    """Bytes that were asked for last."""
    there: int | None = None
    """Bytes: all that a GPU has, of a CPU's those that were free."""
