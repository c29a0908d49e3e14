"""Chooses how the work is spread over processes, and refuses what cannot be spread.

Imports no framework: `launch` checks the number of processes before it starts them.
"""

from collections.abc import Collection

from configs.schema import Train
from utils.errors import UserError

_IN_ONE_PROCESS = ("single", "mirrored")  # the others work with one process, too, if launched


def choose_strategy(
    wanted: str,
    train: Train,
    launched: int | None,
    default: str,
    known: Collection[str],
    devices: int = 1,
) -> str:
    """Return the strategy to use, for the one that `executor.strategy` wants.

    Args:
        wanted: One of `known`, which the framework has, or "auto".
        train: States how the batch is split.
        launched: How many processes a launcher started for this training; None without one.
        default: What "auto" means under a launcher.
        known: "single" is among them.
        devices: How many devices one process alone can train on at once.
    """
    if wanted not in {"auto", *known}:
        raise UserError(
            f"executor.strategy={wanted}: this framework has no such strategy. "
            f"Expected: auto, {', '.join(known)}."
        )
    strategy = wanted
    if wanted == "auto" and devices > 1 and (launched or 1) == 1:
        strategy = "mirrored"
    elif wanted == "auto":
        strategy = "single" if launched is None else default
    if strategy not in _IN_ONE_PROCESS and launched is None:
        raise UserError(
            f"executor.strategy={wanted} needs several processes, and this one was started "
            "alone. Start them with python main.py launch, or take auto."
        )
    check_processes(wanted, train, launched or 1)
    if strategy == "mirrored":
        _check_batch(train, devices, "devices")
    return strategy


def check_processes(wanted: str, train: Train, launched: int) -> None:
    """Refuse a number of processes, on all machines together, that cannot share a batch."""
    if wanted in _IN_ONE_PROCESS and launched > 1:
        raise UserError(
            f"executor.strategy={wanted}, but {launched} processes were launched: each would "
            "train the whole. Start one process, or take auto."
        )
    _check_batch(train, launched, "processes")


def _check_batch(train: Train, shares: int, what: str) -> None:
    least = shares * train.accumulate
    if train.batch_size % least:
        raise UserError(
            f"train.batch_size={train.batch_size} cannot be split over {shares} {what} with "
            f"train.accumulate={train.accumulate}: it is the size of the whole batch and must be a "
            f"multiple of {least}, for example {-(-train.batch_size // least) * least}."
        )
