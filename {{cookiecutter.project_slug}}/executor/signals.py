"""Lets SIGTERM and SIGINT finish the current step instead of ending the process in the middle."""

import signal
from types import FrameType, TracebackType


class StopSignals:
    """While it is entered, the first signal is remembered; a second one acts as usual, at once."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        """Take over both signals (only the main thread may; elsewhere nothing changes)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._remember)
            except ValueError:
                return self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)
