"""How much memory may still be used, for deciding what is kept in it."""

import os
from pathlib import Path

_UNKNOWN = 4 << 30  # assumed where the system does not tell: half of it holds most data sets


def available_memory() -> int:
    """Return the bytes that can be used without swapping, a container's limit considered."""
    return max(0, min(_of_the_machine(), _of_the_container()))


def _of_the_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:  # macOS tells how much there is, not how much of it is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN


def _of_the_container() -> int:
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())  # "max" where there is none
        used = int((group / "memory.current").read_text())
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines()).get(
            "inactive_file", "0"
        )  # the page cache, which gives way
        return limit - used + int(kept)
    except (OSError, ValueError):
        return 1 << 62
