"""What a run ran on: versions, commit and hardware, for `environment.json`."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from utils import storage

RUN_FORMAT = 3
"""Of the files of a run; raise it when runs of an older version cannot be continued."""

_PACKAGES = (
    *("torch", "tensorflow", "tensorflow-cpu", "keras"),
    *("numpy", "pillow", "pydantic", "safetensors"),
)


def system_facts() -> dict[str, Any]:
    """Return the facts that do not depend on the framework."""
    return {
        "format": RUN_FORMAT,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": dict(_versions()),
        "commit": _commit(),
        "command": sys.argv,
    }


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
