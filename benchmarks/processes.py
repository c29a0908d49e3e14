"""Whole processes: the CPU time they take, all their children included, and their peak memory."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """What a process used until it ended."""

    cpu: float
    """Seconds, user and system."""
    memory: float
    """Peak of resident memory in MiB."""


def usage_of(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> Usage:
    """Run a command to its end and return what it used.

    Raises:
        RuntimeError: If it failed; with what it printed.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # so that nobody waits again
        if process.returncode != 0:
            output.seek(0)
            raise RuntimeError(f"{command} failed:\n{output.read()[-4000:]}")
    return Usage(cpu=used.ru_utime + used.ru_stime, memory=used.ru_maxrss / 1024)
