"""What SIGTERM and SIGINT do to a training, instead of ending the process in the middle."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from utils.errors import StoppedAtOnceError

Handler = Callable[[int, FrameType | None], None]


class StopSignals:
    """While it is entered, the first signal is remembered; a second one acts as usual, at once."""

    def __init__(self, repeat_seconds: float = 0.0) -> None:
        """Remember nothing yet.

        For `repeat_seconds` after the first signal another one counts as the same: a scheduler may
        signal each process itself while a launcher hands its own signal on.
        """
        self.received: int | None = None
        self._repeat_seconds = repeat_seconds
        self._time = 0.0
        self._handled = _handled_by(self._remember)

    def __enter__(self) -> "StopSignals":
        """Take over both signals (only the main thread may; elsewhere nothing changes)."""
        self._handled.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        self._handled.__exit__(None, None, None)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._time = number, time.monotonic()
            if not self._repeat_seconds:  # so that another one acts even within a long computation
                signal.signal(number, signal.SIG_DFL)
        elif time.monotonic() - self._time >= self._repeat_seconds:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


def are_remembered() -> bool:
    """Return whether a signal would be remembered now, and not end the run where it is."""
    handler = signal.getsignal(signal.SIGTERM)
    return isinstance(getattr(handler, "__self__", None), StopSignals)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Before and after the steps, let a signal end the run where it is: nothing has to be saved.

    It then raises a StoppedAtOnceError.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedAtOnceError(
            "stopped; nothing is lost, the same command goes on from there.", number
        )

    with _handled_by(stop):
        yield


@contextmanager
def _handled_by(handler: Handler) -> Iterator[None]:
    """Let a function handle both signals, and give them back in the end."""
    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
