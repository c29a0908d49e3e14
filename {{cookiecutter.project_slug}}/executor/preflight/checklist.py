"""Prints a line for each check, and counts what is bad."""

from collections.abc import Callable
from typing import TypeVar

from utils.errors import DivergedError, UserError
from utils.logs import log

Made = TypeVar("Made")


class Checks:
    """Prints a line for each thing that is checked, and counts what is bad."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.done = 0
        self.bad = 0

    def make(
        self, what: str, make: Callable[[], Made], describe: Callable[[Made], str] = str
    ) -> Made | None:
        """Try something and say how it went.

        Whatever is raised counts: a mistake in a user's own code is just what is looked for.

        Args:
            what: What is tried, for people.
            make: Returns what is then described; not None.
            describe: Says what was found.

        Returns:
            What was made; None if it is bad.
        """
        try:
            made = make()
            self._say("ok", what, describe(made))
        except Exception as error:
            self._say("bad", what, _reason(error))
            log.debug("the traceback of this:", exc_info=True)
            self.bad += 1
            return None
        return made

    def warn(self, what: str, found: str) -> None:
        """Say something that may be meant so."""
        self._say("warn", what, found)

    def conclude(self) -> None:
        """Say nothing if all is well.

        Raises:
            UserError: If anything is bad.
        """
        if self.bad:
            raise UserError(f"{self.bad} of {self.done} checks found something bad, see above.")

    def _say(self, verdict: str, what: str, found: str) -> None:
        self.done += 1
        indented = found.replace("\n", "\n     ")
        print(f"{verdict:<4} {what}: {indented}", flush=True)


def _reason(error: Exception) -> str:
    if isinstance(error, UserError | DivergedError):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"
