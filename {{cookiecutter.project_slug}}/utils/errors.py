"""The errors that a person sees, each with the exit code that it ends the program with."""

from collections.abc import Sequence


class UserError(Exception):
    """A mistake that the user can correct; ends the program with exit code 2 and no traceback.

    The message says what is wrong, where, what was received, what was expected and what to do.
    """

    exit_code = 2


class DivergedError(Exception):
    """Training produced NaN or infinity; ends the program with exit code 3."""

    exit_code = 3


class FailedError(Exception):
    """Processes of a training failed or do not answer; ends the program with exit code 1.

    What started them starts them again, and they go on from the last checkpoint.
    """

    exit_code = 1


class StoppedError(BaseException):
    """A signal asked the run to stop, and it did so after writing a checkpoint.

    Not an Exception, since it may be raised anywhere: a framework that is tracing a function would
    turn it into an error of its own.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number  # as in shells


class StoppedAtOnceError(StoppedError):
    """A signal ended the run before or after its steps, where nothing has to be saved."""


def first_few(items: Sequence[object], most: int = 5, separator: str = ", ") -> str:
    """Return the first items of a list for a message: "a, b, c, and 4 more"."""
    shown = [str(item) for item in items[:most]]
    if len(items) > most:
        shown.append(f"and {len(items) - most} more")
    return separator.join(shown)
