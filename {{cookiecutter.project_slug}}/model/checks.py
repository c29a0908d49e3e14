"""Checks of what networks are given: sizes, and weights from a file."""

from collections.abc import Iterable, Mapping, Sequence

from utils import storage
from utils.errors import UserError

_SHOWN = 3  # names listed in an error message; a wrong file has hundreds


def check_at_least(name: str, value: int, least: int) -> None:
    """Refuse a number that is too small.

    Raises:
        ValueError: If `value` is below `least`.
    """
    if value < least:
        raise ValueError(f"Argument `{name}` must be at least {least}. Received: {value}")


def check_odd(name: str, value: int) -> None:
    """Refuse a size without a middle.

    Raises:
        ValueError: If `value` is even or below 1.
    """
    if value < 1 or value % 2 == 0:
        raise ValueError(f"Argument `{name}` must be odd. Received: {value}")


def check_share(name: str, value: float) -> None:
    """Refuse what is no share.

    Raises:
        ValueError: If `value` is not in [0, 1).
    """
    if not 0.0 <= value < 1.0:
        raise ValueError(f"Argument `{name}` must be in [0, 1). Received: {value}")


def check_widths(name: str, widths: Sequence[int], count: int | None = None) -> None:
    """Refuse channels that no network can have.

    Args:
        name: The argument's name.
        widths: Channels of each level.
        count: How many there must be; None for one or more.

    Raises:
        ValueError: If their number is wrong, or one is below 1.
    """
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
    problems = [
        _listed("missing", own.keys() - given.keys()),
        _listed("unexpected", given.keys() - own.keys()),
        _listed("of another shape", differing),
    ]
    if any(problems):
        raise UserError(
            f"{storage.shown(path)} does not hold {what}:\n" + "\n".join(filter(None, problems))
        )


def _listed(what: str, names: Iterable[str]) -> str:
    """Return a line with the first few names, empty if there are none."""
    listed = sorted(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"  {len(listed)} {what}: {', '.join(listed[:_SHOWN])}{more}" if listed else ""
