"""Collects what checks found, and hands each on as soon as it is known."""

import json
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from utils.errors import DivergedError, UserError
from utils.logs import log

Made = TypeVar("Made")


class Check(NamedTuple):
    """What was tried, how it went (ok, warn or bad), and what there is or is wrong with it."""

    check: str
    verdict: str
    found: str


def print_line(check: Check) -> None:
    """Print a check for people."""
    indented = check.found.replace("\n", "\n     ")
    print(f"{check.verdict:<4} {check.check}: {indented}", flush=True)


class Checks:
    """Makes checks and keeps what they found."""

    def __init__(self, report: Callable[[Check], None] = print_line) -> None:
        """Begin with nothing; `report` is given each check when it is made."""
        self.made: list[Check] = []
        self._report = report

    @property
    def bad(self) -> int:
        """How many found something bad."""
        return sum(check.verdict == "bad" for check in self.made)

    def make(
        self, what: str, make: Callable[[], Made], describe: Callable[[Made], str] = str
    ) -> Made | None:
        """Try something and say how it went; return what was made, or None if it is bad.

        Whatever is raised counts: a mistake in a user's own code is just what is looked for.
        """
        try:
            made = make()
            self.add(what, "ok", describe(made))
            return made
        except Exception as error:
            is_plain = isinstance(error, UserError | DivergedError)
            reason = f"{type(error).__name__}: {error} (--debug shows where)"
            self.add(what, "bad", str(error) if is_plain else reason)
            log.debug("the traceback of this:", exc_info=True)
            return None

    def warn(self, what: str, found: str) -> None:
        """Say something that may be meant so."""
        self.add(what, "warn", found)

    def conclude(self) -> None:
        """Raise a UserError if anything is bad."""
        if self.bad:
            bad = f"{self.bad} of {len(self.made)} checks"
            raise UserError(f"{bad} found something bad, see above.")

    def add(self, what: str, verdict: str, found: str) -> None:
        """Say what was found: the verdict is ok, warn or bad."""
        self.made.append(Check(what, verdict, found))
        self._report(self.made[-1])


def as_json(checks: Checks) -> str:
    """Return the checks and the number of bad ones as a JSON object."""
    made = [check._asdict() for check in checks.made]
    return json.dumps({"checks": made, "bad": checks.bad}, indent=2)
