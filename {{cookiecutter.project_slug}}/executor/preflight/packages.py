"""Compares what is installed with what the project asks for.

Nothing but the standard library is imported, so that a missing package can be named.
"""

import platform
import re
import sys
import tomllib
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from executor.preflight.checklist import Checks
from utils import storage
from utils.errors import UserError

# A requirement: a name, extras, a version or an address, and the machines it is meant for.
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(\[[^]]*])?\s*(==\s*(?P<pin>[^\s;,]+)|[<>~!=][^;]*|@[^;]*)?"
    r"\s*(;\s*(?P<marker>.*))?"
)
_PLATFORM = re.compile(r"sys_platform\s*(?P<sign>[=!]=)\s*[\"'](?P<name>\w+)[\"']")
_OTHER_BUILD = "-cpu"  # the package without this ending does the same and more


def check_installed(checks: Checks) -> None:
    """Compare Python with `pyproject.toml` and the packages with `requirements.txt`."""
    checks.make("python", lambda: _checked_python(storage.PROJECT / "pyproject.toml"))
    path = storage.PROJECT / "requirements.txt"
    if not path.is_file():
        checks.warn("packages", "there is no requirements.txt to compare with")
        return
    wanted = _requirements(path.read_text(encoding="utf-8"))
    installed = {name: _installed(name) for name in wanted}
    checks.make("packages", lambda: _checked_packages(installed))
    others = [
        f"{name} {found} (tested: {pin})"
        for name, pin in wanted.items()
        if (found := installed[name]) and pin and not fnmatchcase(_public(found, pin), pin)
    ]
    if others:
        checks.warn("versions", "other than in requirements.txt: " + ", ".join(others))


def _requirements(text: str) -> dict[str, str | None]:
    """Return the packages that a file asks for on this machine, and the tested versions if any.

    Unusual lines are passed over.
    """
    found = {}
    for line in text.splitlines():
        match = _REQUIREMENT.fullmatch(re.sub(r"(^|\s)#.*", "", line).strip())
        if match and _applies(match["marker"] or ""):
            found[match["name"]] = match["pin"]
    return found


def _applies(marker: str) -> bool:
    """Return whether a line is meant for this platform; other conditions are taken to hold."""
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
    # Without the name of a build, as in 2.13.0+cpu, unless the pin has one.
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
        how = "Install them: python -m pip install -r requirements.txt"
        raise UserError(f"not installed: {', '.join(missing)}. {how}")
    return f"all {len(installed)} of requirements.txt are installed"
