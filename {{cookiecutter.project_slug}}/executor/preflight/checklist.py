"""Collects what checks found, and hands each on as soon as it is known."""

import json
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from utils.errors import DivergedError, UserError
from utils.logs import log

Made = TypeVar("Made")


class Check(NamedTuple):
    """One check and how it went."""

    check: str
    """What was tried, for people."""
    verdict: str
    """ok, warn or bad."""
    found: str
    """What there is, or what is wrong with it."""


def print_line(check: Check) -> None:
    """Print a check for people."""
    indented = check.found.replace("\n", "\n     ")
    print(f"{check.verdict:<4} {check.check}: {indented}", flush=True)


class Checks:
    """Makes checks and keeps what they found."""

    def __init__(self, report: Callable[[Check], None] = print_line) -> None:
        """Begin with nothing.

        Args:
            report: Is given each check when it is made.
        """
        self.made: list[Check] = []
        self._report = report

    @property
    def bad(self) -> int:
        """How many found something bad."""
        return sum(check.verdict == "bad" for check in self.made)

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
            self._add(what, "ok", describe(made))
        except Exception as error:
            self._add(what, "bad", _reason(error))
            log.debug("the traceback of this:", exc_info=True)
            return None
        return made

    def warn(self, what: str, found: str) -> None:
        """Say something that may be meant so."""
        self._add(what, "warn", found)

    def conclude(self) -> None:
        """Say nothing if all is well.

        Raises:
            UserError: If anything is bad.
        """
        if self.bad:
            raise UserError(
                f"{self.bad} of {len(self.made)} checks found something bad, see above."
            )

    def _add(self, what: str, verdict: str, found: str) -> None:
        self.made.append(Check(what, verdict, found))
        self._report(self.made[-1])


def as_json(checks: Checks) -> str:
    """Return the checks and the number of bad ones as a JSON object."""
    made = [check._asdict() for check in checks.made]
    return json.dumps({"checks": made, "bad": checks.bad}, indent=2)


def _reason(error: Exception) -> str:
    if isinstance(error, UserError | DivergedError):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"
