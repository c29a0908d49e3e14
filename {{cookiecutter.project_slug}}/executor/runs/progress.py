"""Shows how far a run is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from utils.logs import log

_BAR_SECONDS = 0.2  # between two drawings; drawing every step would cost more than small steps
_LINE_SECONDS = 10.0


class Progress(Protocol):
    """What the training loop tells the person who waits."""

    def step(self, step: int, loss: float) -> None:
        """Take note of a finished step; `loss` is that of this step."""

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Take note of an evaluation."""

    def close(self) -> None:
        """Clear up."""


def open_progress(total: int, done: int, batch_size: int, monitor: str) -> Progress:
    """Return the bar where there is a terminal to draw it on, else the lines."""
    kind = _Bar if sys.stderr.isatty() else _Lines
    return kind(_Clock(total, done, batch_size), monitor)


class _Clock:
    """Speed and remaining time of a run."""

    def __init__(self, total: int, done: int, batch_size: int) -> None:
        self.total = total
        self.first = done
        self._batch_size = batch_size
        self._start = time.monotonic()

    def summary(self, step: int) -> str:
        """Return images/s since the start and the time left."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = max(step - self.first, 1) / seconds
        left = round((self.total - step) / rate)
        return f"{rate * self._batch_size:.0f} images/s, {left // 60}:{left % 60:02d} left"


class _Lines:
    """A line now and then, for log files and pipes."""

    def __init__(self, clock: _Clock, monitor: str) -> None:
        self._clock = clock
        self._monitor = monitor
        self._next = time.monotonic() + _LINE_SECONDS

    def step(self, step: int, loss: float) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LINE_SECONDS
            place = f"step {step}/{self._clock.total}"
            log.info("%s  loss %.4f  %s", place, loss, self._clock.summary(step))

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        place = f"step {step}/{self._clock.total}"
        log.info(
            "%s  validation %s  %s",
            place,
            _chosen(values, self._monitor),
            self._clock.summary(step),
        )

    def close(self) -> None:
        pass


class _Bar:
    """One line that is drawn over and over."""

    def __init__(self, clock: _Clock, monitor: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._clock = clock
        self._monitor = monitor
        self._metric = ""
        self._last = (clock.first, float("nan"))
        self._next = 0.0
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
        )
        self._bar: Any = RichProgress(*columns, console=Console(stderr=True), auto_refresh=False)
        self._task = self._bar.add_task("", total=clock.total, completed=clock.first, text="")
        self._bar.start()

    def step(self, step: int, loss: float) -> None:
        self._last = (step, loss)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _BAR_SECONDS
            self._draw()

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        self._metric = f"{self._monitor} {values[self._monitor]:.4f}  "
        self._next = 0.0
        log.info("step %d  validation %s", step, _chosen(values, self._monitor))

    def close(self) -> None:
        self._draw()
        self._bar.stop()

    def _draw(self) -> None:
        step, loss = self._last
        text = f"loss {loss:.4f}  {self._metric}{self._clock.summary(step)}"
        self._bar.update(self._task, completed=step, text=text)
        self._bar.refresh()


def _chosen(values: Mapping[str, float], monitor: str) -> str:
    """Return the two numbers that tell most."""
    names = [name for name in dict.fromkeys(("loss", monitor)) if name in values]
    return "  ".join(f"{name} {values[name]:.4f}" for name in names)
