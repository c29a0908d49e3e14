"""How fast a training goes and how much memory it takes: what is said, and put into a file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from configs.schema import CFG
from executor.cards import peak_flops
from executor.device import Device
from executor.gauges import forward_flops, peak_memory
from executor.tensors import Model
from utils.logs import log

WARM_UP_STEPS = 10
"""The first steps of a process do not count: they trace, compile and try out kernels."""
_PASSES = 3  # a backward pass computes about twice what a forward pass does


class Stopwatch:
    """Times the steps of this process, but for what goes on between them."""

    def __init__(self, batch_size: int) -> None:
        """Wait for `start`.

        Args:
            batch_size: Samples of a step, over all processes.
        """
        self._batch_size = batch_size
        self._warm_up = WARM_UP_STEPS
        self._since = 0.0
        self._is_left_out = False
        self.steps = 0
        """Steps that count."""
        self.seconds = 0.0
        """What they took."""

    @property
    def images_per_second(self) -> float | None:
        """Samples a second of all processes together; None before the first step that counts."""
        return self.steps * self._batch_size / self.seconds if self.steps else None

    def start(self) -> None:
        """Begin a lap."""
        self._since = time.perf_counter()

    def lap(self, steps: int) -> None:
        """End a lap in which so many steps were taken, and begin the next one."""
        now = time.perf_counter()
        if self._warm_up > 0:
            self._warm_up -= steps
        elif not self._is_left_out:
            self.steps += steps
            self.seconds += now - self._since
        self._since = now
        self._is_left_out = False

    def leave_out(self) -> None:
        """Let the lap that goes on not count."""
        self._is_left_out = True

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
    """How fast a process, with those that it works with, has trained; the content of a file."""

    images_per_second: float
    """Samples a second of all processes together."""
    seconds_per_step: float
    steps: int
    """Steps that were timed."""
    batch_size: int
    """Samples of a step, over all processes."""
    processes: int
    device: str
    precision: str
    peak_memory: int | None
    """Bytes: on a GPU of its tensors, on a CPU of the process; that of the process with most."""
    mfu_estimate: float | None
    """Share of what the cards compute at most (model FLOPs utilisation); None if not known."""

    def __str__(self) -> str:
        """Return the line that is said."""
        parts = [f"{self.images_per_second:,.1f} images/s"]
        parts.append(f"{1e3 * self.seconds_per_step:,.1f} ms a step over {self.steps:,} steps")
        if self.peak_memory is not None:
            most = f", the most of {self.processes} processes" if self.processes > 1 else ""
            parts.append(f"peak memory {self.peak_memory / 1e9:,.2f} GB{most}")
        if self.mfu_estimate is not None:
            parts.append(f"about {self.mfu_estimate:.0%} of the hardware's peak (MFU, estimated)")
        return "; ".join(parts)


def measured(cfg: CFG, watch: Stopwatch, model: Model, device: Device) -> Speed | None:
    """Say how fast this process has trained with those that it works with; all call it together.

    Args:
        cfg: `data.image_size` and `train.batch_size` are used.
        watch: Timed the steps.
        model: Only looked at.
        device: Where it is.

    Returns:
        What was measured; None if too few steps were taken.
    """
    rate, world = watch.images_per_second, device.world
    name = device.facts()["device"]
    peak = peak_flops(name, device.precision)
    # What follows is the same for all: they may have counted other steps, and have other cards.
    memory, is_short, is_unknown = world.largest(
        peak_memory(device) or 0, rate is None, peak is None
    )
    if rate is None or is_short:
        return None
    speed = Speed(
        images_per_second=rate,
        seconds_per_step=watch.seconds / watch.steps,
        steps=watch.steps,
        batch_size=cfg.train.batch_size,
        processes=world.size,
        device=name,
        precision=device.precision,
        peak_memory=memory or None,
        mfu_estimate=None
        if peak is None or is_unknown
        else utilisation(rate, _forward_flops(cfg, model, device), peak * world.replicas),
    )
    log.info("speed     %s", speed)
    return speed


def utilisation(images_per_second: float, flops: float | None, peak: float) -> float | None:
    """Return the share of the hardware's peak that a training uses.

    Args:
        images_per_second: Samples a second.
        flops: Operations of a forward pass of one sample; None: they are not known.
        peak: Operations a second of all devices together.
    """
    return None if flops is None else images_per_second * _PASSES * flops / peak


def _forward_flops(cfg: CFG, model: Model, device: Device) -> int | None:
    try:
        return forward_flops(model, cfg.data.image_size, device) or None
    except Exception as error:  # an estimate must not end a run that is trained
        log.debug("the model's operations cannot be counted: %s", error)
        return None
