"""Checks weights from a file against those that a network needs."""

from collections.abc import Iterable, Mapping, Sequence

from utils import storage
from utils.errors import UserError, first_few


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
