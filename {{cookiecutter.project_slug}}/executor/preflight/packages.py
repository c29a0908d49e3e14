"""Compares what is installed with what the project asks for.

Everything else is imported late, so that a missing package can be named.
"""

import platform
import re
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from executor.preflight.checklist import Checks
from utils import storage
from utils.errors import UserError

_OTHER_BUILD = "-cpu"  # the package without this ending does the same and more


def check_installed(checks: Checks) -> None:
    """Compare Python with `pyproject.toml` and the packages with `requirements.txt`."""
    checks.make("python", lambda: _checked_python(storage.PROJECT / "pyproject.toml"))
    path = storage.PROJECT / "requirements.txt"
    if not path.is_file():
        checks.warn("packages", "there is no requirements.txt to compare with")
        return
    count = lambda found: f"all {len(found)} of requirements.txt are installed"  # noqa: E731
    installed = checks.make("packages", lambda: _installed(path.read_text("utf-8")), count)
    others = [
        f"{wanted.name} {found} (tested: {wanted.specifier})"
        for wanted, found in installed or ()
        if not wanted.specifier.contains(found, prereleases=True)
    ]
    if others:
        checks.warn("versions", "other than in requirements.txt: " + ", ".join(others))


def _installed(text: str) -> list[tuple[Any, str]]:
    """Return the requirements of a file that are meant for this machine, and what is installed.

    Lines that pip understands alone, such as `-r other.txt`, are passed over. It is a UserError if
    a package is missing.
    """
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ModuleNotFoundError as error:
        raise _not_installed(["packaging"]) from error
    wanted = []
    for line in text.splitlines():
        with suppress(InvalidRequirement):
            wanted.append(Requirement(re.sub(r"(^|\s)#.*", "", line).strip()))
    meant = [one for one in wanted if one.marker is None or one.marker.evaluate()]
    found = [(one, _version(one.name)) for one in meant]
    missing = [one.name for one, there in found if there is None]
    if missing:
        raise _not_installed(missing)
    return [(one, there) for one, there in found if there is not None]


def _not_installed(names: list[str]) -> UserError:
    how = "Install them: python -m pip install -r requirements.txt"
    return UserError(f"not installed: {', '.join(names)}. {how}")


def _version(name: str) -> str | None:
    for candidate in (name, name.removesuffix(_OTHER_BUILD)):
        with suppress(PackageNotFoundError):
            return version(candidate)
    return None


def _checked_python(about: Path) -> str:
    found = platform.python_version()
    text = about.read_text(encoding="utf-8") if about.is_file() else ""
    wanted = str(tomllib.loads(text).get("project", {}).get("requires-python", ""))
    least = re.fullmatch(r">=\s*(\d+)\.(\d+)", wanted)
    if least and sys.version_info[:2] < (int(least[1]), int(least[2])):
        raise UserError(f"{found}; expected {wanted} (pyproject.toml)")
    return found
