"""How much memory may still be used, for deciding what is kept in it; and how much was."""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

_UNITS = {"bytes": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}  # powers of 1024
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


def _of_the_container() -> int:
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())  # "max" where there is none
        used = int((group / "memory.current").read_text())
        kept = re.search(r"^inactive_file (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)
        return limit - used + (int(kept[1]) if kept else 0)  # the page cache is given up
    except (OSError, ValueError):
        return 1 << 62
