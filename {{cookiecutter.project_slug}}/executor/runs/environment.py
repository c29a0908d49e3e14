"""What a run ran on: versions, commit and hardware, for `environment.json`."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from utils import storage
from utils.errors import UserError, first_few
from utils.logs import log

RUN_FORMAT = 3
"""Of the files of a run; raise it when runs of an older version cannot be continued."""

_PACKAGES = (
    *("torch", "tensorflow", "tensorflow-cpu", "keras"),
    *("numpy", "pillow", "pydantic", "safetensors"),
)


def system_facts() -> dict[str, Any]:
    """Return the facts that do not depend on the framework."""
    return {
        "code": code_digests(),
        "format": RUN_FORMAT,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": dict(_versions()),
        "commit": _commit(),
        "command": sys.argv,
    }


def code_digests() -> dict[str, str]:
    """Return a digest of every Python file of the project's packages, and of those beside them."""
    packages = sorted(path.parent for path in storage.PROJECT.glob("*/__init__.py"))
    files = [*storage.PROJECT.glob("*.py"), *(f for p in packages for f in p.rglob("*.py"))]
    return {
        file.relative_to(storage.PROJECT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[
            :12
        ]
        for file in sorted(files)
    }


def check_code(known: Mapping[str, str] | None, address: str, strict: bool) -> None:
    """Warn if the code has other digests than a run last began with; a UserError if strict."""
    now = code_digests() if known else {}
    before = known or {}
    changed = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    if not changed:
        return
    text = f"the code has changed since {address} last began: {first_few(changed)}."
    if strict:
        raise UserError(f"{text} Go back to it, or choose another run.dir.")
    log.warning("%s It goes on with the new code (run.strict_code refuses that).", text)


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return found


def _commit() -> str | None:
    """Return the project's commit, marked where files differ from it; None outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(  # noqa: S603 -- constant words, no shell
            command, cwd=storage.PROJECT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
