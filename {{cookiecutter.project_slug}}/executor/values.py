"""What a training step measures, and what is said when it measured no number."""

from typing import NamedTuple

import numpy as np

from utils.errors import DivergedError

_SHOWN = 8


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


def divergence(step: int, loss: float, grad_norm: float, indices: np.ndarray) -> DivergedError:
    """Return the error for a step whose loss or gradient is not finite.

    Args:
        step: Its number, counted from 1.
        loss: What it measured.
        grad_norm: What it measured.
        indices: int64 [B], its training samples.
    """
    listed = ", ".join(str(index) for index in indices[:_SHOWN])
    more = ", ..." if len(indices) > _SHOWN else ""
    return DivergedError(
        f"step {step} gave loss {loss} and gradient norm {grad_norm}; the "
        f"weights are unchanged. Training samples of the step: {listed}{more}. "
        "Lower train.optimizer's learning rate, set train.clip_norm=1.0, or try "
        "executor.precision=fp32."
    )
