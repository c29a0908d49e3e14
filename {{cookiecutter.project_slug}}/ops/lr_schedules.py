"""The learning rate schedules with a plain name, from the factors in `ops.schedule_factors`.

Any other schedule is reached by its full name, with that class's own arguments, for example
`torch.optim.lr_scheduler:CosineAnnealingLR` or `keras.optimizers.schedules:CosineDecay`.
"""

from collections.abc import Sequence

from ops import schedule_factors as schedules
from ops.optimizer_functions import Optimizer, Schedule, scheduled


def constant(optimizer: Optimizer, *, warmup_steps: int = 0) -> Schedule:
    """Keep the learning rate, after a linear warm-up if asked for.

    Args:
        optimizer: Whose learning rate is scheduled.
        warmup_steps: Updates of linear warm-up, 0 or more.

    Raises:
        ValueError: If `warmup_steps` is negative.
    """
    schedules.check_warmup(warmup_steps)
    return scheduled(optimizer, lambda s: schedules.constant_factor(s, warmup_steps=warmup_steps))


def cosine(
    optimizer: Optimizer, *, total_steps: int, warmup_steps: int = 0, floor: float = 0.0
) -> Schedule:
    """Lower the learning rate along half a cosine.

    Args:
        optimizer: Whose learning rate is scheduled.
        total_steps: Updates in the whole training; the executor fills it in.
        warmup_steps: Updates of linear warm-up, 0 or more.
        floor: The factor at the end, in [0, 1].

    Raises:
        ValueError: If an argument is out of range.
    """
    schedules.check_span(total_steps, warmup_steps, floor)
    return scheduled(
        optimizer,
        lambda s: schedules.cosine_factor(
            s, total_steps=total_steps, warmup_steps=warmup_steps, floor=floor
        ),
    )


def linear(
    optimizer: Optimizer, *, total_steps: int, warmup_steps: int = 0, floor: float = 0.0
) -> Schedule:
    """Lower the learning rate along a straight line.

    Args:
        optimizer: Whose learning rate is scheduled.
        total_steps: Updates in the whole training; the executor fills it in.
        warmup_steps: Updates of linear warm-up, 0 or more.
        floor: The factor at the end, in [0, 1].

    Raises:
        ValueError: If an argument is out of range.
    """
    schedules.check_span(total_steps, warmup_steps, floor)
    return scheduled(
        optimizer,
        lambda s: schedules.linear_factor(
            s, total_steps=total_steps, warmup_steps=warmup_steps, floor=floor
        ),
    )


def step(
    optimizer: Optimizer, *, milestones: Sequence[int], gamma: float = 0.1, warmup_steps: int = 0
) -> Schedule:
    """Multiply the learning rate by `gamma` at each milestone.

    Args:
        optimizer: Whose learning rate is scheduled.
        milestones: Numbers of the updates, from 0, from which on the rate is lower.
        gamma: Factor at each milestone, greater than 0.
        warmup_steps: Updates of linear warm-up, 0 or more.

    Raises:
        ValueError: If an argument is out of range.
    """
    schedules.check_warmup(warmup_steps)
    schedules.check_milestones(milestones, gamma)
    return scheduled(
        optimizer,
        lambda s: schedules.step_factor(
            s, milestones=milestones, gamma=gamma, warmup_steps=warmup_steps
        ),
    )
