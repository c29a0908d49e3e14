"""What SIGTERM and SIGINT do to a training, instead of ending the process in the middle."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from utils.errors import StoppedAtOnceError

Handler = Callable[[int, FrameType | None], None]


class StopSignals:
    """While it is entered, the first signal is remembered; a second one acts as usual, at once.

    For `repeat_seconds` after the first signal another one counts as the same: a scheduler may
    signal each process itself while a launcher passes its own signal on.
    """

    def __init__(self, repeat_seconds: float = 0.0) -> None:
        self.received: int | None = None
        self._repeat_seconds = repeat_seconds
        self._time = 0.0
        self._handled = _handled_by(self._remember)

    def __enter__(self) -> "StopSignals":
        self._handled.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handled.__exit__(None, None, None)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._time = number, time.monotonic()
            if not self._repeat_seconds:  # so that another one acts even within a long computation
                signal.signal(number, signal.SIG_DFL)
        elif time.monotonic() - self._time >= self._repeat_seconds:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Let a signal raise a StoppedAtOnceError: outside of the steps there is nothing to save."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedAtOnceError(
            "stopped; nothing is lost, the same command goes on from there.", number
        )

    with _handled_by(stop):
        yield


@contextmanager
def _handled_by(handler: Handler) -> Iterator[None]:
    """Let a function handle both signals; outside of the main thread nothing changes."""
    before = {}
    with suppress(ValueError):  # not the main thread
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
