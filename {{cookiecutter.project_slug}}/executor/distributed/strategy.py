"""Chooses how the work is spread over processes, from the configuration and what was launched."""

from collections.abc import Collection

from configs.schema import CFG
from executor.distributed.batch_split import IN_ONE_PROCESS, check_batch, check_processes
from utils.errors import UserError


def choose_strategy(
    cfg: CFG, launched: int | None, default: str, known: Collection[str], devices: int = 1
) -> str:
    """Return the strategy to use.

    Args:
        cfg: `executor.strategy`, `train.batch_size` and `accumulate` are used.
        launched: How many processes a launcher started for this training; None without one.
        default: What `auto` means under a launcher.
        known: The strategies that the framework has, "single" among them.
        devices: How many devices one process alone can train on at once.

    Raises:
        UserError: If the framework does not have it, it does not go with how the process was
            started, or the batch cannot be split evenly.
    """
    wanted = cfg.executor.strategy
    if wanted not in {"auto", *known}:
        raise UserError(
            f"executor.strategy={wanted}: this framework has no such strategy. "
            f"Expected: auto, {', '.join(known)}."
        )
    strategy = _automatic(launched, default, devices) if wanted == "auto" else wanted
    if strategy not in IN_ONE_PROCESS and launched is None:
        raise UserError(
            f"executor.strategy={wanted} needs several processes, and this one was started "
            "alone. Start them with python main.py launch, or take auto."
        )
    check_processes(cfg, launched or 1)
    if strategy == "mirrored":
        check_batch(cfg, devices, "devices")
    return strategy


def _automatic(launched: int | None, default: str, devices: int) -> str:
    """Return what `auto` means."""
    if launched is not None and launched > 1:
        return default
    if devices > 1:
        return "mirrored"
    return "single" if launched is None else default
