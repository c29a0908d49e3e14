"""How much memory may still be used, for deciding what is kept in it; and how much was."""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

_UNITS = {"bytes": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}  # powers of 1024
_NO_LIMIT = 1 << 62
# The files of a control group: limit, use, and what memory.stat calls the page cache.
_NAMES = {
    "unified": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
_UNKNOWN = 4 << 30  # assumed where the system does not say: half of it holds most data sets


class OutOfMemory(NamedTuple):
    """A shortage of memory; what is not known is None."""

    device: Literal["CPU", "GPU"]
    requested: int | None = None
    """Bytes that were requested last."""
    available: int | None = None
    """Bytes: all that a GPU has, of a CPU's those that were free."""


def available_memory() -> int:
    """Return the bytes that can be used without swapping, a container's limit considered."""
    return max(0, min(_of_the_machine(), _of_the_container()))


def peak_of_process() -> int | None:
    """Return the most bytes that this process had in memory; None if not known (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # macOS says bytes, others KiB


def amount(words: str, text: str) -> int | None:
    """Return the bytes that an error message states behind some words; None if it does not.

    "GB", in some messages, means GiB.
    """
    found = re.search(rf"{words} ([\d.]+) (bytes|B|[KMGTPE](?=i?B))", text)
    return None if found is None else int(float(found[1]) * 1024 ** _UNITS[found[2]])


def _of_the_machine() -> int:
    with suppress(OSError):
        found = re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())
        if found:
            return int(found[1]) * 1024
    with suppress(AttributeError, OSError, ValueError):  # macOS says how much there is, not free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return _UNKNOWN


def _of_the_container(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int:
    """Return what the control groups of this process leave, of either version (Linux).

    A limit holds for all groups below it. A container may not see the groups around it; where the
    path that it is told is not there, its own group is the root of what it sees.
    """
    least = _NO_LIMIT
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                root = groups / controllers
                names = _NAMES["memory" if controllers else "unified"]
                inner = PurePosixPath(path.lstrip("/"))
                least = min(least, *(_left(root / p, *names) for p in (inner, *inner.parents)))
    return least


def _left(group: Path, limit: str, used: str, cache: str) -> int:
    try:
        bytes_used = int((group / used).read_text())
        most = int((group / limit).read_text())  # "max" where there is no limit
        kept = re.search(rf"^{cache} (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)
        return most - bytes_used + (int(kept[1]) if kept else 0)  # the page cache is given up
    except (OSError, ValueError):
        return _NO_LIMIT
