"""How fast a training goes: the one clock behind every number of samples a second."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

WARM_UP_STEPS = 10
"""The first steps of a process do not count: they trace, compile and try out kernels."""


class Throughput:
    """Times the steps of this process, but for what goes on between them.

    `batch_size`: samples of a step, over all processes.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._warm_up = WARM_UP_STEPS
        self._since = 0.0
        self._is_excluded = False
        self.steps = 0
        """Steps that count."""
        self.seconds = 0.0
        """What they took."""

    @property
    def samples_per_second(self) -> float | None:
        """Samples a second of all processes together; None before the first step that counts."""
        return self.steps * self._batch_size / self.seconds if self.steps else None

    def start(self) -> None:
        """Begin a lap."""
        self._since = time.perf_counter()

    def lap(self, steps: int) -> float:
        """End a lap of so many steps, begin the next one, and return the seconds it took."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        if self._warm_up > 0:
            self._warm_up -= steps
        elif not self._is_excluded:
            self.steps += steps
            self.seconds += seconds
        self._is_excluded = False
        return seconds

    def exclude_lap(self) -> None:
        """Let the lap that goes on not count."""
        self._is_excluded = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let what is done meanwhile, such as an evaluation, take no time."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - begun


@dataclass(frozen=True)
class Speed:
    """How fast a run was trained: `speed.json`."""

    samples_per_second: float
    """Of all processes together."""
    seconds_per_step: float
    steps: int
    """Steps that were timed."""
    batch_size: int
    processes: int
    device: str
    precision: str
    peak_memory: int | None
    """Bytes, the most of any process: on a GPU of its tensors, on a CPU of the process."""

    def __str__(self) -> str:
        parts = [f"{self.samples_per_second:,.1f} samples/s"]
        parts.append(f"{1e3 * self.seconds_per_step:,.1f} ms a step over {self.steps:,} steps")
        if self.peak_memory is not None:
            most = f", the most of {self.processes} processes" if self.processes > 1 else ""
            parts.append(f"peak memory {self.peak_memory / 1e9:,.2f} GB{most}")
        return "; ".join(parts)
