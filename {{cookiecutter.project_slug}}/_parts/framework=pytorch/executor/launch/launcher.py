"""Starts the processes (ranks) of one machine with torchrun, and returns how they ended.

torchrun restarts all processes whenever one ends with anything but 0, and itself returns 1 then. So
a process writes notes for the launcher (`as_rank`): files that say that it runs and how it ended.
Where starting again makes no sense, it waits until its note was read, and then ends with 0:
torchrun starts nothing, on no machine, and the launcher returns the exit code. Without notes a
refusal, divergence or a preemption would be tried again until no restart is left, and would end
with 1. Signals go to the processes, past torchrun, as soon as all of them run, for the same reason.
"""

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from executor.launch.exits import POLL_SECONDS, REFUSED, STOPPED
from executor.launch.processes import (
    Launch,
    Signals,
    announce,
    environment_settings,
    host_and_port,
    threads,
)
from executor.launch.rank import NOTES, RUNS, SEEN
from utils.errors import UserError

GPUS_PER_PROCESS: int | None = 1  # at most
_TOGETHER_SECONDS = 20.0  # in which processes that end by intent do so together
_SLOW_SECONDS = 20.0  # after which torchrun is not waited for: processes elsewhere go on
# A lost machine is noticed in 10 seconds; machines may arrive minutes after each other.
_RENDEZVOUS = {
    "join_timeout": 1800,
    "read_timeout": 600,
    "keep_alive_interval": 2,
    "keep_alive_max_attempt": 5,
}


def start(launch: Launch) -> int:
    """Start the processes of this machine, pass signals on, wait, and return an exit code.

    0 when all are done; 2 or 3 when one refused or diverged; 128 plus a signal's number when they
    were asked to stop, and did; otherwise 1. It is a UserError if the options do not go together.
    """
    command, settings = _torchrun(launch), _settings(launch)
    announce(command, settings)
    with tempfile.TemporaryDirectory(prefix="launch-") as folder, Signals() as signals:
        notes = _Notes(Path(folder), launch.resources.processes_per_node)
        environment = {**os.environ, **settings, NOTES: folder}
        # A session of its own, or a terminal's Ctrl-C would reach it twice.
        process = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603
        _wait(process, notes, signals, launch.resources.grace_seconds)
        return _result(process.returncode, notes.codes(), signals.received)


class _Notes:
    """The files by which processes say that they run, and how they ended.

    Their names are ATTEMPT.LOCAL_RANK.runs-PID and ATTEMPT.LOCAL_RANK.CODE.
    """

    def __init__(self, folder: Path, processes: int) -> None:
        self._folder = folder
        self._processes = processes
        self._first: dict[int, float] = {}
        self._is_answered = False

    def attempt(self) -> int:
        return max((attempt for attempt, _, _ in self._all()), default=0)

    def codes(self) -> list[int]:
        """Return how the processes of the last attempt ended, as far as there are notes."""
        return [int(text) for _, text in self._last() if text.isdecimal()]

    def running(self) -> list[int]:
        """Return the processes of the last attempt, or none while some have yet to begin."""
        notes = self._last()
        begun = {rank: text for rank, text in notes if text.startswith(RUNS)}
        if len(begun) < self._processes:
            return []
        over = {rank for rank, text in notes if text.isdecimal()}
        return [int(begun[rank].removeprefix(RUNS)) for rank in begun.keys() - over]

    def are_complete(self) -> bool:
        """Return whether all processes of the last attempt have ended and left a note."""
        return len(self.codes()) == self._processes

    def are_final(self) -> bool:
        """Return whether starting again makes no sense; False once this was answered.

        A process that only stops because another one died, as torchrun asks it to, is no reason.
        """
        attempt, codes = self.attempt(), self.codes()
        if self._is_answered or not set(codes) & {*REFUSED, *STOPPED}:
            return False
        now = time.monotonic()
        waited = now - self._first.setdefault(attempt, now)
        if self.are_complete():
            return True
        if waited >= _TOGETHER_SECONDS:
            if set(codes) & set(REFUSED):
                return True
            (self._folder / f"{attempt}.{SEEN}").touch()
        return False

    def answer(self) -> None:
        """Let processes that wait, or will, go on to their end."""
        self._is_answered = True
        (self._folder / SEEN).touch()

    def _last(self) -> list[tuple[str, str]]:
        last = self.attempt()
        return [(rank, text) for attempt, rank, text in self._all() if attempt == last]

    def _all(self) -> list[tuple[int, str, str]]:
        """Return attempt, rank and text of each note."""
        names = [path.name.split(".") for path in self._folder.iterdir()]
        return [(int(name[0]), name[1], name[2]) for name in names if len(name) == 3]


def _wait(process: subprocess.Popen[bytes], notes: _Notes, signals: Signals, grace: int) -> None:
    """Wait for torchrun; pass signals on, and end it where starting again makes no sense."""
    patience, attempts = math.inf, math.inf
    while process.poll() is None:
        number = signals.take()
        if number is not None:
            notes.answer()
            if _signalled(notes.running(), number):
                patience, attempts = time.monotonic() + grace, notes.attempt()
            else:
                process.send_signal(number)
        elif notes.are_final():
            notes.answer()
            patience = time.monotonic() + (_SLOW_SECONDS if notes.are_complete() else 0.0)
        elif time.monotonic() > patience or notes.attempt() > attempts:
            # Not all stopped; or one died, and torchrun has started them again.
            process.send_signal(signal.SIGTERM)
            if signals.received is not None:  # they had their time; torchrun would give 30 s more
                _signalled(notes.running(), signal.SIGKILL)
            patience, attempts = math.inf, math.inf
        time.sleep(POLL_SECONDS)


def _signalled(pids: list[int], number: int) -> bool:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(pids)


def _torchrun(launch: Launch) -> list[str]:
    rendezvous, needs = dict(_RENDEZVOUS), launch.resources
    if needs.nodes == 1:
        where = ["--standalone", "--local-addr", "127.0.0.1"]
    elif launch.address is None:
        raise UserError(
            f"--nodes {needs.nodes} needs --rendezvous HOST:PORT, where the machines meet; "
            "start the same command on each of them."
        )
    else:
        host, port = host_and_port(launch.address, "--rendezvous")
        where = ["--nnodes", str(needs.nodes), "--rdzv-backend", "c10d"]
        where += ["--rdzv-endpoint", f"{host}:{port}", "--rdzv-id", "train"]
        if launch.node_rank is not None:  # otherwise torchrun looks at the machine's name
            rendezvous["is_host"] = int(launch.node_rank == 0)
    where += ["--rdzv-conf", ",".join(f"{name}={value}" for name, value in rendezvous.items())]
    where += ["--nproc-per-node", str(needs.processes_per_node)]
    where += ["--max-restarts", str(needs.max_restarts)]
    return [sys.executable, "-m", "torch.distributed.run", *where, *launch.program]


def _settings(launch: Launch) -> dict[str, str]:
    defaults = {
        "OMP_NUM_THREADS": str(threads(launch)),
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # a lost connection takes one line, not forty
    }
    if launch.resources.nodes > 1:  # or a machine that replaces a lost one could not join
        defaults["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    return environment_settings(launch, defaults)


def _result(code: int, notes: Collection[int], received: int | None) -> int:
    """Return the exit code of a launch, from torchrun's, the noted ones and a received signal."""
    meant = [note for note in (*REFUSED, *STOPPED) if note in notes]
    if meant and (meant[0] in REFUSED or set(notes) <= {0, *STOPPED}):
        return meant[0]
    if code == 0 and not any(notes):
        return 0
    return 1 if received is None else 128 + received
