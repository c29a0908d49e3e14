"""The learning rate schedules with a plain name: a factor of the learning rate for each update.

Updates count from 0. All begin with the same optional warm-up: update s of w warm-up updates has
the factor (s + 1) / (w + 1), so that the first is not wasted on a rate of zero and update w has 1.

Any other schedule is reached by its full name, with that class's own arguments, for example
`torch.optim.lr_scheduler:CosineAnnealingLR` or `keras.optimizers.schedules:CosineDecay`.
"""

import math
from collections.abc import Callable, Sequence

from ops.optimizer_functions import Optimizer, Schedule, scheduled
from utils.checks import check


def constant(optimizer: Optimizer, *, warmup_steps: int = 0) -> Schedule:
    """Keep the learning rate after `warmup_steps` updates of linear warm-up, 0 or more.

    Raises:
        ValueError: If `warmup_steps` is negative.
    """
    return _warmed_up(optimizer, warmup_steps, lambda step: 1.0)


def cosine(
    optimizer: Optimizer, *, total_steps: int, warmup_steps: int = 0, floor: float = 0.0
) -> Schedule:
    """Lower the learning rate along half a cosine (Loshchilov and Hutter, 2017, arXiv:1608.03983).

    Args:
        optimizer: Whose learning rate is scheduled.
        total_steps: Updates in the whole training, 1 or more; the executor fills it in. The floor
            is reached by update number `total_steps`, the first that is not made.
        warmup_steps: Updates of linear warm-up, 0 or more.
        floor: The factor at the end, in [0, 1].

    Raises:
        ValueError: If an argument is out of range.
    """
    progress = _progress(total_steps, warmup_steps, floor)

    def factor(step: int) -> float:
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress(step)))

    return _warmed_up(optimizer, warmup_steps, factor)


def linear(
    optimizer: Optimizer, *, total_steps: int, warmup_steps: int = 0, floor: float = 0.0
) -> Schedule:
    """Lower the learning rate along a straight line; arguments as for `cosine`.

    Raises:
        ValueError: If an argument is out of range.
    """
    progress = _progress(total_steps, warmup_steps, floor)
    return _warmed_up(optimizer, warmup_steps, lambda step: 1.0 - (1.0 - floor) * progress(step))


def step(
    optimizer: Optimizer, *, milestones: Sequence[int], gamma: float = 0.1, warmup_steps: int = 0
) -> Schedule:
    """Multiply the learning rate by `gamma` at each milestone.

    Args:
        optimizer: Whose learning rate is scheduled.
        milestones: Numbers of the updates, 1 or more, from which on the rate is lower.
        gamma: Factor at each milestone, greater than 0.
        warmup_steps: Updates of linear warm-up, 0 or more.

    Raises:
        ValueError: If an argument is out of range.
    """
    fits = min(milestones, default=0) >= 1
    check("milestones", milestones, fits, "hold update numbers of 1 or more")
    check("gamma", gamma, gamma > 0.0, "be greater than 0")

    def factor(step: int) -> float:
        return float(gamma ** sum(step >= milestone for milestone in milestones))

    return _warmed_up(optimizer, warmup_steps, factor)


def _warmed_up(optimizer: Optimizer, warmup_steps: int, factor: Callable[[int], float]) -> Schedule:
    check("warmup_steps", warmup_steps, warmup_steps >= 0, "be at least 0")
    return scheduled(
        optimizer, lambda step: min(1.0, (step + 1) / (warmup_steps + 1)) * factor(step)
    )


def _progress(total_steps: int, warmup_steps: int, floor: float) -> Callable[[int], float]:
    """Return a function: number of an update -> share of the time after the warm-up, in [0, 1]."""
    check("total_steps", total_steps, total_steps >= 1, "be at least 1")
    check("floor", floor, 0.0 <= floor <= 1.0, "be between 0 and 1")
    # A training that was cut short, to try something out, may end within its warm-up.
    span = max(1, total_steps - warmup_steps)
    return lambda step: min(1.0, max(0.0, (step - warmup_steps) / span))
