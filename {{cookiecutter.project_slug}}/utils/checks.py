"""The check of an argument, in one form for losses, transforms, schedules and networks."""


def check(name: str, value: object, fits: bool, expected: str) -> None:
    """Raise a ValueError if an argument does not fit; expected is "be at least 1", for example."""
    if not fits:
        raise ValueError(f"Argument `{name}` must {expected}. Received: {value}")
