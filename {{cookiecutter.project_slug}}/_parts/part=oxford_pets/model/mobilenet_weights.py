"""Checks weights from a file against those that a network needs."""

from collections.abc import Iterable, Mapping
from typing import Any

from utils import storage
from utils.errors import UserError, first_few


def check_shapes(path: str, given: Mapping[str, Any], own: Mapping[str, Any], what: str) -> None:
    """Refuse a file's arrays if they are not those of a network, all of them and no others.

    Raises:
        UserError: Listing what is missing, unexpected or of another shape.
    """
    differing = (
        f"{name} {list(given[name].shape)} instead of {list(own[name].shape)}"
        for name in own.keys() & given.keys()
        if tuple(given[name].shape) != tuple(own[name].shape)
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
