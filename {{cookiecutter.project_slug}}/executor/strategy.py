"""Chooses how the work is spread over processes, from the configuration and what was launched."""

from collections.abc import Collection

from configs.schema import CFG
from utils.errors import UserError


def choose_strategy(cfg: CFG, launched: int | None, default: str, known: Collection[str]) -> str:
    """Return the strategy to use.

    Args:
        cfg: `executor.strategy`, `train.batch_size` and `accumulate` are used.
        launched: How many processes a launcher started for this training; None without one.
        default: What `auto` means under a launcher.
        known: The strategies that the framework has, "single" among them.

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
    if launched is None:
        if wanted not in ("auto", "single"):
            raise UserError(
                f"executor.strategy={wanted} needs several processes, and this one was started "
                "alone. Start them with python main.py launch, or take auto."
            )
        return "single"
    strategy = default if wanted == "auto" else wanted
    if strategy == "single" and launched > 1:
        others = [name for name in known if name != "single"]
        raise UserError(
            f"executor.strategy=single, but {launched} processes were launched: each would train "
            f"the whole. Start one process{', or take ' + ' or '.join(others) if others else ''}."
        )
    _check_batch(cfg, launched)
    return strategy


def _check_batch(cfg: CFG, processes: int) -> None:
    batch, accumulate = cfg.train.batch_size, cfg.train.accumulate
    if batch % (processes * accumulate):
        least = processes * accumulate
        raise UserError(
            f"train.batch_size={batch} cannot be split over {processes} processes with "
            f"train.accumulate={accumulate}: it is the size of the whole batch and must be a "
            f"multiple of {least}, for example {-(-batch // least) * least}."
        )
