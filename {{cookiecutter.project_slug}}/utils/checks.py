"""Tells line by line what is sound and what is not; and whether what is installed fits.

Nothing but the standard library is imported, so that a missing package can be told.
"""

import platform
import re
import sys
import tomllib
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, TypeVar

from utils import storage
from utils.errors import DivergedError, UserError
from utils.logs import log

Made = TypeVar("Made")

# A requirement: a name, extras, a version or an address, and the machines it is meant for.
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(\[[^]]*])?\s*(==\s*(?P<pin>[^\s;,]+)|[<>~!=][^;]*|@[^;]*)?"
    r"\s*(;\s*(?P<marker>.*))?"
)
_PLATFORM = re.compile(r"sys_platform\s*(?P<sign>[=!]=)\s*[\"'](?P<name>\w+)[\"']")
_OTHER_BUILD = "-cpu"  # the package without this ending does the same and more


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


def check_installed(checks: Checks) -> None:
    """Compare Python with `pyproject.toml` and the packages with `requirements.txt`."""
    checks.make("python", lambda: _checked_python(storage.PROJECT / "pyproject.toml"))
    path = storage.PROJECT / "requirements.txt"
    if not path.is_file():
        checks.warn("packages", "there is no requirements.txt to compare with")
        return
    wanted = _requirements(path.read_text(encoding="utf-8"))
    installed = {requirement.name: _installed(requirement.name) for requirement in wanted}
    checks.make("packages", lambda: _checked_packages(installed))
    others = [
        f"{name} {found} (tested: {pin})"
        for name, pin in wanted
        if (found := installed[name]) and pin and not fnmatchcase(_public(found, pin), pin)
    ]
    if others:
        checks.warn("versions", "other than in requirements.txt: " + ", ".join(others))


class _Requirement(NamedTuple):
    name: str
    pin: str | None
    """The version that was tested; None: any."""


def _requirements(text: str) -> list[_Requirement]:
    """Return what a requirements file asks for on this machine; unusual lines are passed over."""
    found = []
    for line in text.splitlines():
        match = _REQUIREMENT.fullmatch(re.sub(r"(^|\s)#.*", "", line).strip())
        if match and _applies(match["marker"] or ""):
            found.append(_Requirement(match["name"], match["pin"]))
    return found


def _applies(marker: str) -> bool:
    """Tell whether a line is meant for this platform; another kind of condition counts as met."""
    match = _PLATFORM.fullmatch(marker.strip())
    return match is None or (match["name"] == sys.platform) == (match["sign"] == "==")


def _installed(name: str) -> str | None:
    for candidate in (name, name.removesuffix(_OTHER_BUILD)):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return None


def _public(installed: str, pin: str) -> str:
    """Return a version without the name of a build, as in 2.13.0+cpu, unless the pin has one."""
    return installed if "+" in pin else installed.partition("+")[0]


def _checked_python(about: Path) -> str:
    found = platform.python_version()
    text = about.read_text(encoding="utf-8") if about.is_file() else ""
    wanted = str(tomllib.loads(text).get("project", {}).get("requires-python", ""))
    least = re.fullmatch(r">=\s*(\d+)\.(\d+)", wanted)
    if least and sys.version_info[:2] < (int(least[1]), int(least[2])):
        raise UserError(f"{found}; expected {wanted} (pyproject.toml)")
    return found


def _checked_packages(installed: dict[str, str | None]) -> str:
    missing = [name for name, found in installed.items() if found is None]
    if missing:
        raise UserError(
            f"not installed: {', '.join(missing)}. "
            "Install them: python -m pip install -r requirements.txt"
        )
    return f"all {len(installed)} of requirements.txt are installed"


def _reason(error: Exception) -> str:
    if isinstance(error, UserError | DivergedError):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"
