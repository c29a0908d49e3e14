"""Starts the processes (ranks) of one machine with torchrun, and says how they ended.

torchrun restarts all processes whenever one ends with anything but 0, and itself returns 1 then. So
a process tells the launcher when it ended by intent (`ended`): an empty file in a folder that the
launcher names in the environment. The launcher then stops torchrun and returns that exit code.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from utils.errors import UserError
from utils.launching import (
    POLL_SECONDS,
    REFUSED,
    STOPPED,
    Launch,
    Signals,
    announce,
    host_and_port,
    threads,
    with_defaults,
)

GPUS_PER_PROCESS: int | None = 1  # at most
# What `between` returns, in a bash script with an array `addresses`.
BETWEEN_IN_BASH = '--rendezvous "${addresses[0]}"'
_NOTES = "LAUNCH_NOTES"  # names the folder
_SEEN = "seen"  # the file that says: the launcher has read the notes, go
_TOGETHER_SECONDS = 20.0  # in which processes that end by intent do so together
_UNSEEN_SECONDS = 25.0  # after which a process waits no longer; at 30 torchrun would end it
# A lost machine is noticed in 10 seconds; machines may arrive minutes after each other.
_RENDEZVOUS = {
    "join_timeout": 1800,
    "read_timeout": 600,
    "keep_alive_interval": 2,
    "keep_alive_max_attempt": 5,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what names the machines."""
    parser.add_argument(
        "--rendezvous",
        dest="address",
        metavar="HOST:PORT",
        help="where several machines meet: one of them and a free port; the same on each",
    )


def between(addresses: Sequence[str]) -> list[str]:
    """Return the words that tell `launch` on each of several machines where the others are.

    Args:
        addresses: HOST:PORT of each machine.
    """
    return ["--rendezvous", addresses[0]]


def start(launch: Launch) -> int:
    """Start the processes of this machine, hand signals on and wait.

    Args:
        launch: What to start.

    Returns:
        0 when all are done; 2 or 3 when one refused or diverged; 128 plus a signal's number when
        they were asked to stop, and did; otherwise 1.

    Raises:
        UserError: If the options do not go together.
    """
    command, settings = _torchrun(launch), _settings(launch)
    announce(command, settings)
    with tempfile.TemporaryDirectory(prefix="launch-") as folder, Signals() as signals:
        notes = _Notes(Path(folder), launch.processes)
        environment = {**os.environ, **settings, _NOTES: folder}
        # A session of its own, or a terminal's Ctrl-C would reach it twice.
        process = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603
        while process.poll() is None:
            number = signals.take()
            if number is not None:
                notes.answer()
                process.send_signal(number)
            elif notes.are_final():
                process.send_signal(signal.SIGTERM)
                notes.answer()
            time.sleep(POLL_SECONDS)
        return _result(process.returncode, notes.codes(), signals.received)


def ended(code: int) -> int:
    """Tell the launcher, if there is one, how this process ended; then it may end.

    Args:
        code: The exit code.

    Returns:
        The same exit code.
    """
    folder = Path(os.environ.get(_NOTES, ""))
    if _NOTES not in os.environ or code not in REFUSED + STOPPED or not folder.is_dir():
        return code
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    (folder / f"{attempt}.{os.environ.get('RANK', '0')}.{code}").touch()
    deadline = time.monotonic() + _UNSEEN_SECONDS
    while folder.is_dir() and time.monotonic() < deadline:
        if (folder / _SEEN).exists() or (folder / f"{attempt}.{_SEEN}").exists():
            break
        time.sleep(POLL_SECONDS)
    return code


class _Notes:
    """The files by which processes say that they ended by intent: ATTEMPT.RANK.CODE."""

    def __init__(self, folder: Path, processes: int) -> None:
        self._folder = folder
        self._processes = processes
        self._first: dict[int, float] = {}
        self._is_answered = False

    def codes(self) -> set[int]:
        """Return what the processes of the last attempt said."""
        attempts = self._attempts()
        return set(attempts[max(attempts)]) if attempts else set()

    def are_final(self) -> bool:
        """Tell, once, that starting again makes no sense.

        A process that only stops because another one died, as torchrun asks it to, is no reason.
        """
        attempts = self._attempts()
        if not attempts or self._is_answered:
            return False
        attempt = max(attempts)
        codes, now = attempts[attempt], time.monotonic()
        waited = now - self._first.setdefault(attempt, now)
        if len(codes) < self._processes and waited < _TOGETHER_SECONDS:
            return False
        if len(codes) == self._processes or set(codes) & set(REFUSED):
            return True
        (self._folder / f"{attempt}.{_SEEN}").touch()
        return False

    def answer(self) -> None:
        """Let processes that wait, or will, go on to their end."""
        self._is_answered = True
        (self._folder / _SEEN).touch()

    def _attempts(self) -> dict[int, list[int]]:
        """Return the exit codes of each attempt."""
        found: dict[int, list[int]] = {}
        for path in self._folder.iterdir():
            attempt, _, code = path.name.rpartition(".")
            if code.isdecimal():
                found.setdefault(int(attempt.partition(".")[0]), []).append(int(code))
        return found


def _torchrun(launch: Launch) -> list[str]:
    """Return the command that starts the processes of this machine."""
    rendezvous = dict(_RENDEZVOUS)
    if launch.nodes == 1:
        where = ["--standalone", "--local-addr", "127.0.0.1"]
    elif launch.address is None:
        raise UserError(
            f"--nodes {launch.nodes} needs --rendezvous HOST:PORT, where the machines meet; "
            "start the same command on each of them."
        )
    else:
        host, port = host_and_port(launch.address, "--rendezvous")
        where = ["--nnodes", str(launch.nodes), "--rdzv-backend", "c10d"]
        where += ["--rdzv-endpoint", f"{host}:{port}", "--rdzv-id", "train"]
        if launch.node_rank is not None:  # otherwise torchrun looks at the machine's name
            rendezvous["is_host"] = int(launch.node_rank == 0)
    where += ["--rdzv-conf", ",".join(f"{name}={value}" for name, value in rendezvous.items())]
    how = ["--nproc-per-node", str(launch.processes), "--max-restarts", str(launch.restarts)]
    return [sys.executable, "-m", "torch.distributed.run", *where, *how, *launch.program]


def _settings(launch: Launch) -> dict[str, str]:
    """Return the environment variables that torchrun and the processes need."""
    defaults = {
        "OMP_NUM_THREADS": str(threads(launch)),
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(launch.grace_seconds),
    }
    if launch.nodes > 1:  # otherwise a machine that comes in place of a lost one cannot join
        defaults["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    return with_defaults(launch, defaults)


def _result(code: int, notes: set[int], received: int | None) -> int:
    """Return the exit code that stands for how the processes ended."""
    if code == 0:
        return 0
    refused = notes & set(REFUSED)
    if refused:
        return min(refused)
    if received is not None:
        return 128 + received
    return min(notes) if notes and notes <= set(STOPPED) else 1
