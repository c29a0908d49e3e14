"""Checks of the sizes that networks are given."""

from collections.abc import Sequence


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
