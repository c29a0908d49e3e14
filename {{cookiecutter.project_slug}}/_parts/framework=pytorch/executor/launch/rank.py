"""One of the processes (ranks) that a launcher started: its notes for the launcher, how it ends."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from executor.launch.exits import POLL_SECONDS, REFUSED, STOPPED, end_at_once

NOTES = "LAUNCH_NOTES"  # the environment variable that names the folder of notes
RUNS = "runs-"  # before the number of a process
SEEN = "seen"  # the file that says: the launcher has read the notes, go
_NOTICED_SECONDS = 2.0  # between the end of a process's connections and its note
_UNSEEN_SECONDS = 25.0  # after which a process waits no longer; at 30 torchrun would end it


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what names the machines."""
    parser.add_argument(
        "--rendezvous",
        dest="address",
        metavar="HOST:PORT",
        help="where several machines meet: one of them and a free port; the same on each",
    )


def as_rank(run: Callable[[], int]) -> int:
    """Run a command, note for the launcher that it runs and how it ended, and return an exit code.

    The notes are files in a folder; `launcher.py` says why the code is 0 once they were read.
    """
    if NOTES not in os.environ or not Path(os.environ[NOTES]).is_dir():
        return run()
    folder = Path(os.environ[NOTES])
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    note = f"{attempt}.{os.environ.get('LOCAL_RANK', '0')}"
    for old in folder.glob(f"{note}.*"):  # a machine that joins restarts all and counts nothing
        old.unlink(missing_ok=True)
    (folder / f"{note}.{RUNS}{os.getpid()}").touch()
    code = run()
    (folder / f"{note}.{code}").touch()
    deadline = time.monotonic() + _UNSEEN_SECONDS
    is_meant = code in REFUSED + STOPPED or (code != 0 and _another_refused(folder, attempt))
    while code != 0 and folder.is_dir() and time.monotonic() < deadline:
        if (folder / SEEN).exists():
            return 0
        if not is_meant or (folder / f"{attempt}.{SEEN}").exists():
            break
        time.sleep(POLL_SECONDS)
    return code


def _another_refused(folder: Path, attempt: str) -> bool:
    """Return whether the others were lost since one of them refused; its note follows at once."""
    deadline = time.monotonic() + _NOTICED_SECONDS
    while time.monotonic() < deadline:
        if any(list(folder.glob(f"{attempt}.*.{code}")) for code in REFUSED):
            return True
        time.sleep(POLL_SECONDS)
    return False


def end(code: int) -> NoReturn:
    """End this program; one of several processes at once.

    Threads of gloo outlive its process group. One that drops a tensor while Python shuts down
    aborts the process (SIGABRT), and then torchrun ends the others.
    """
    if "WORLD_SIZE" in os.environ:
        end_at_once(code)
    sys.exit(code)
