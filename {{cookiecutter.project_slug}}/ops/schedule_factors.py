"""Learning rate schedules as pure functions: the number of an update -> factor of the rate.

Update `step` counts from 0; the factor multiplies the configured learning rate in that very update.
All schedules begin with the same optional warm-up: update s of w warm-up updates has the factor
(s + 1) / (w + 1), so that the first is not wasted on a rate of zero and update w has factor 1.
"""

import math
from collections.abc import Sequence


def constant_factor(step: int, *, warmup_steps: int = 0) -> float:
    """Return 1 after the warm-up.

    Args:
        step: Number of the update, from 0.
        warmup_steps: Updates of linear warm-up, 0 or more.
    """
    return _warmup(step, warmup_steps)


def cosine_factor(
    step: int, *, total_steps: int, warmup_steps: int = 0, floor: float = 0.0
) -> float:
    """Return half a cosine from 1 to `floor` (Loshchilov and Hutter, 2017, arXiv:1608.03983).

    Args:
        step: Number of the update, from 0.
        total_steps: Updates in the whole training, 1 or more. `floor` is reached by update number
            `total_steps`, the first that is not made, and kept from there on.
        warmup_steps: Updates of linear warm-up, 0 or more.
        floor: The last factor, in [0, 1].
    """
    progress = _progress(step, total_steps, warmup_steps)
    decayed = floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))
    return _warmup(step, warmup_steps) * decayed


def linear_factor(
    step: int, *, total_steps: int, warmup_steps: int = 0, floor: float = 0.0
) -> float:
    """Return a straight line from 1 to `floor`; arguments as for `cosine_factor`."""
    decayed = 1.0 - (1.0 - floor) * _progress(step, total_steps, warmup_steps)
    return _warmup(step, warmup_steps) * decayed


def step_factor(
    step: int, *, milestones: Sequence[int], gamma: float = 0.1, warmup_steps: int = 0
) -> float:
    """Return `gamma` to the power of how many milestones have been reached.

    Args:
        step: Number of the update, from 0.
        milestones: Numbers of the updates from which on the rate is lower, in any order.
        gamma: Factor at each milestone, greater than 0.
        warmup_steps: Updates of linear warm-up, 0 or more.
    """
    reached = sum(step >= milestone for milestone in milestones)
    return _warmup(step, warmup_steps) * float(gamma**reached)


def check_span(total_steps: int, warmup_steps: int, floor: float) -> None:
    """Refuse lengths and floors that no schedule can have.

    Raises:
        ValueError: If an argument is out of the range given for `cosine_factor`.
    """
    if total_steps < 1:
        raise ValueError(f"Argument `total_steps` must be at least 1. Received: {total_steps}")
    check_warmup(warmup_steps)
    if not 0.0 <= floor <= 1.0:
        raise ValueError(f"Argument `floor` must be between 0 and 1. Received: {floor}")


def check_milestones(milestones: Sequence[int], gamma: float) -> None:
    """Refuse milestones and factors that `step_factor` cannot have.

    Raises:
        ValueError: If a milestone is below 1, there is none, or `gamma` is not greater than 0.
    """
    if not milestones or min(milestones) < 1:
        raise ValueError(
            f"Argument `milestones` must hold update numbers of 1 or more. Received: {milestones}"
        )
    if not gamma > 0.0:
        raise ValueError(f"Argument `gamma` must be greater than 0. Received: {gamma}")


def check_warmup(warmup_steps: int) -> None:
    """Refuse a negative warm-up.

    Raises:
        ValueError: If `warmup_steps` is below 0.
    """
    if warmup_steps < 0:
        raise ValueError(f"Argument `warmup_steps` must be at least 0. Received: {warmup_steps}")


def _warmup(step: int, warmup_steps: int) -> float:
    return min(1.0, (step + 1) / (warmup_steps + 1))


def _progress(step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the time after the warm-up that has passed, in [0, 1]."""
    # A training that was cut short, to try something out, may end within its warm-up.
    span = max(1, total_steps - warmup_steps)
    return min(1.0, max(0.0, (step - warmup_steps) / span))
