"""What starting several processes needs in either framework; `launcher.py` starts them.

Neither imports a framework: a launcher has nothing to compute.
"""

import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from configs.schema import Resources
from executor.launch.exits import STOPPED
from utils.errors import DivergedError, FailedError, StoppedError, UserError

# A scheduler may signal every process, and whoever started them again: one signal, not two.
_REPEAT_SECONDS = 5.0
# The terminal that went away asks to stop as well.
_MEANING = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT, "SIGHUP": signal.SIGTERM}


@dataclass(frozen=True)
class Launch:
    """What to start on this machine, as one of several or alone."""

    program: tuple[str, ...]
    """A Python file and its arguments, the same for every process."""
    resources: Resources
    address: str | None = None
    """Where the machines find each other, in the framework's form."""
    node_rank: int | None = None
    """Which of the machines this is, from 0; None: unknown."""


class Signals:
    """While it is entered, signals to stop are noted; `take` returns each once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._pending: int | None = None
        self._time = -_REPEAT_SECONDS
        self._before = ExitStack()

    def __enter__(self) -> "Signals":
        for name, meaning in _MEANING.items():
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            # `nohup` ignores a signal; it stays so.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before = signal.signal(number, partial(self._note, meaning))
                self._before.callback(signal.signal, number, before)
        return self

    def __exit__(self, *_: object) -> None:
        self._before.close()

    def take(self) -> int | None:
        """Return the signal to pass on, if there is one."""
        number, self._pending = self._pending, None
        return number

    def _note(self, meaning: int, *_: object) -> None:
        if time.monotonic() - self._time >= _REPEAT_SECONDS:
            self._time = time.monotonic()
            self._pending = meaning
            self.received = self.received or meaning


def host_and_port(text: str, option: str) -> tuple[str, int]:
    """Split HOST:PORT; a UserError if `text` is something else."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or set(host) & set(" ,/="):
        raise UserError(
            f"{option}: received {text!r}, expected HOST:PORT, for example node1:29400."
        )
    return host, int(port)


def threads(launch: Launch) -> int:
    """Return how many threads each process may use without taking another's cores."""
    if launch.resources.cpus_per_process is not None:
        return launch.resources.cpus_per_process
    if hasattr(os, "sched_getaffinity"):  # what this process may use; Linux only
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // launch.resources.processes_per_node)


def environment_settings(launch: Launch, defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the launch's variables, and defaults that the environment does not set."""
    kept = {name: value for name, value in defaults.items() if name not in os.environ}
    return {**kept, **launch.resources.environment}


def announce(command: Sequence[str], settings: Mapping[str, str]) -> None:
    """Print what is started as a line for a shell."""
    variables = [f"{name}={value}" for name, value in settings.items()]
    print(shlex.join(["env", *variables, *command]), file=sys.stderr, flush=True)


def conclude(code: int) -> None:
    """Raise the error of `utils.errors` that has the exit code `launcher.start` returned."""
    if code == 2:
        raise UserError("the launched processes refused; their message stands above.")
    if code == 3:
        raise DivergedError("training diverged; the message of the processes stands above.")
    if code in STOPPED:
        raise StoppedError("all processes stopped; the same command goes on.", code - 128)
    if code != 0:
        raise FailedError(
            "the launched processes failed and are not started again; what happened stands above. "
            "The same command goes on from the last checkpoint."
        )
