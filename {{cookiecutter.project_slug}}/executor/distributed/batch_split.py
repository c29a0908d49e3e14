"""Tells whether a training can be shared: before processes are started, and in each of them."""

from configs.schema import CFG
from utils.errors import UserError

IN_ONE_PROCESS = ("single", "mirrored")
"""Strategies that no launcher is needed for; the others work with one process, too."""


def check_processes(cfg: CFG, launched: int) -> None:
    """Refuse a number of processes that cannot train together as configured.

    Args:
        cfg: `executor.strategy`, `train.batch_size` and `accumulate` are used.
        launched: How many processes there are, on all machines together.

    Raises:
        UserError: If each would train the whole, or the batch cannot be split evenly.
    """
    wanted = cfg.executor.strategy
    if wanted in IN_ONE_PROCESS and launched > 1:
        raise UserError(
            f"executor.strategy={wanted}, but {launched} processes were launched: each would "
            "train the whole. Start one process, or take auto."
        )
    check_batch(cfg, launched, "processes")


def check_batch(cfg: CFG, shares: int, what: str) -> None:
    """Refuse a batch that cannot be split evenly.

    Args:
        cfg: `train.batch_size` and `accumulate` are used.
        shares: In how many shares it shall be split, 1 or more.
        what: What gets a share each, for people: `processes` or `devices`.

    Raises:
        UserError: If it cannot.
    """
    batch, accumulate = cfg.train.batch_size, cfg.train.accumulate
    if batch % (shares * accumulate):
        least = shares * accumulate
        raise UserError(
            f"train.batch_size={batch} cannot be split over {shares} {what} with "
            f"train.accumulate={accumulate}: it is the size of the whole batch and must be a "
            f"multiple of {least}, for example {-(-batch // least) * least}."
        )
