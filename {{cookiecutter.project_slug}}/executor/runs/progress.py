"""Shows how far a run is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from executor.runs.callback import Callback, RunInfo, Values
from executor.runs.throughput import Throughput
from utils.logs import log

Thing = TypeVar("Thing")

_BAR_SECONDS = 0.2  # between two drawings; drawing every step would cost more than small steps
_LINE_SECONDS = 10.0


class Progress(Callback):
    """A line now and then; on a terminal a bar besides.

    `monitor` is the value of an evaluation that is shown beside its loss.
    """

    def __init__(self, monitor: str, throughput: Throughput) -> None:
        self._monitor = monitor
        self._throughput = throughput
        self._total = 0
        self._metric = ""
        self._next = 0.0
        self._bar: Any = None

    def start(self, run: RunInfo) -> None:
        """Draw the bar where there is a terminal to draw it on."""
        self.end("")
        self._total = run.total_steps
        self._next = time.monotonic() + _LINE_SECONDS
        if sys.stderr.isatty():
            self._next = 0.0
            self._bar = _bar("step", run.total_steps, run.step)

    def step(self, step: int, values: Values) -> None:
        """Show a step, if the last one that was shown is some time ago."""
        now = time.monotonic()
        if now < self._next:
            return
        text = f"loss {values['loss']:.4f}  {self._metric}{self._rate(step)}"
        if self._bar is None:
            self._next = now + _LINE_SECONDS
            log.info("step %d/%d  %s", step, self._total, text)
        else:
            self._next = now + _BAR_SECONDS
            _draw(self._bar, step, text)

    def evaluation(self, step: int, values: Values) -> None:
        """Show the two numbers that say most."""
        names = [name for name in dict.fromkeys(("loss", self._monitor)) if name in values]
        chosen = "  ".join(f"{name} {values[name]:.4f}" for name in names)
        log.info("step %d/%d  validation %s  %s", step, self._total, chosen, self._rate(step))
        if self._bar is not None:
            self._metric = f"{self._monitor} {values[self._monitor]:.4f}  "
            self._next = 0.0

    def end(self, status: str) -> None:
        """Leave the bar as it is and give the terminal back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _rate(self, step: int) -> str:
        """Return samples a second and the time left, nothing while they are not known."""
        clock = self._throughput
        rate = clock.samples_per_second
        if rate is None:
            return ""
        return _rate(rate, "samples", (self._total - step) * clock.seconds / clock.steps)


class Counting:
    """Shows how many of some things are done, and the time left."""

    def __init__(self, verb: str, things: str) -> None:
        """Begin with nothing: `verb` and `things` are such as "predicted" and "files"."""
        self._words = (verb, things)
        self._total, self._first = 0, 0
        self._began, self._next = 0.0, 0.0
        self._bar: Any = None
        self.done = 0
        """How many are done."""

    def __enter__(self) -> "Counting":
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is and give the terminal back."""
        if self._bar is not None:
            self._bar.stop()

    def start(self, total: int, done: int = 0) -> None:
        """Draw the bar where there is a terminal to draw it on; `done` were done before."""
        self._total, self._first, self.done = total, done, done
        self._began = time.monotonic()
        self._next = self._began + _LINE_SECONDS
        if sys.stderr.isatty():
            self._next = 0.0
            self._bar = _bar(self._words[0], total, done)

    def each(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """Yield things, and count each once the next one is asked for."""
        for thing in things:
            yield thing
            self.done += 1
            now = time.monotonic()
            if now >= self._next or self.done == self._total:
                self._show(now)

    def _show(self, now: float) -> None:
        verb, things = self._words
        rate = (self.done - self._first) / max(now - self._began, 1e-9)
        text = _rate(rate, things, (self._total - self.done) / rate)
        if self._bar is not None:
            self._next = now + _BAR_SECONDS
            _draw(self._bar, self.done, text)
        elif now >= self._next:
            self._next = now + _LINE_SECONDS
            log.info("%s %d/%d  %s", verb, self.done, self._total, text)


def _rate(rate: float, things: str, seconds: float) -> str:
    left = round(seconds)
    return f"{rate:.0f} {things}/s, {left // 60}:{left % 60:02d} left"


def _draw(bar: Any, completed: int, text: str) -> None:
    bar.update(bar.task_ids[0], completed=completed, text=text)
    bar.refresh()


def _bar(what: str, total: int, completed: int) -> Any:
    """Return one line that is drawn over and over."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    text = TextColumn("{task.fields[text]}")
    columns = (TextColumn(what), MofNCompleteColumn(), BarColumn(), text)
    bar = Progress(*columns, console=Console(stderr=True), auto_refresh=False)
    bar.add_task("", total=total, completed=completed, text="")
    bar.start()
    return bar
