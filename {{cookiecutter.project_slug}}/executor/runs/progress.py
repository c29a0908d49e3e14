"""Shows how far a run is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

from executor.runs.callback import Callback, RunInfo, Values
from executor.runs.throughput import Throughput
from utils.logs import log

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
            self._bar = _bar(run)

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
            self._bar.update(self._bar.task_ids[0], completed=step, text=text)
            self._bar.refresh()

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
        left = round((self._total - step) * clock.seconds / clock.steps)
        return f"{rate:.0f} samples/s, {left // 60}:{left % 60:02d} left"


def _bar(run: RunInfo) -> Any:
    """Return one line that is drawn over and over."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    text = TextColumn("{task.fields[text]}")
    columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(), text)
    bar = Progress(*columns, console=Console(stderr=True), auto_refresh=False)
    bar.add_task("", total=run.total_steps, completed=run.step, text="")
    bar.start()
    return bar
