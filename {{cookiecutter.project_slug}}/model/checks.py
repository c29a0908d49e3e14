"""Checks of what networks are given: sizes, and weights from a file."""

from collections.abc import Iterable, Mapping, Sequence

from utils import storage
from utils.errors import UserError, first_few


def check_at_least(name: str, value: int, least: int) -> None:
    """Refuse a number below `least` with a ValueError."""
    if value < least:
        raise ValueError(f"Argument `{name}` must be at least {least}. Received: {value}")


def check_odd(name: str, value: int) -> None:
    """Refuse a size without a middle with a ValueError."""
    if value < 1 or value % 2 == 0:
        raise ValueError(f"Argument `{name}` must be odd. Received: {value}")


def check_share(name: str, value: float) -> None:
    """Refuse what is not in [0, 1) with a ValueError."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"Argument `{name}` must be in [0, 1). Received: {value}")


def check_widths(name: str, widths: Sequence[int], count: int | None = None) -> None:
    """Refuse channels of levels with a ValueError: not `count` of them, none, or one below 1."""
    if not widths or min(widths) < 1 or len(widths) != (count or len(widths)):
        raise ValueError(
            f"Argument `{name}` must hold {count or 'one or more'} numbers from 1. "
            f"Received: {list(widths)}"
        )


def check_shapes(
    path: str,
    given: Mapping[str, Sequence[int]],
    own: Mapping[str, Sequence[int]],
    what: str,
) -> None:
    """Refuse weights that are not those of a network, all of them and no others.

    Args:
        path: File or URL that they come from.
        given: The shapes in the file by name.
        own: The shapes that the network needs by name.
        what: What was expected, for the message.

    Raises:
        UserError: Listing what is missing, unexpected or of another shape.
    """
    differing = (
        f"{name} {list(given[name])} instead of {list(own[name])}"
        for name in own.keys() & given.keys()
        if tuple(given[name]) != tuple(own[name])
    )
    problems: dict[str, Iterable[str]] = {
        "missing": own.keys() - given.keys(),
        "unexpected": given.keys() - own.keys(),
        "of another shape": differing,
    }
    lines = [
        f"\n  {len(names)} {problem}: {first_few(names, most=3)}"
        for problem, found in problems.items()
        if (names := sorted(found))
    ]
    if lines:
        raise UserError(f"{storage.shown(path)} does not hold {what}:{''.join(lines)}")
