"""Chooses the way in which the model runs in training: as it is, compiled, or as CUDA graphs.

Compiling pays on some GPUs, for some models, and only if the run is long enough. So it is measured
where that can be told: `executor.compile: auto`. All processes choose alike.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from configs.schema import CFG
from executor.devices.device import Device
from executor.devices.select import Way
from executor.training.loop_state import LoopState
from utils.errors import UserError
from utils.logs import log

_SHOWN: dict[Way, str] = {"plain": "no", "compiled": "yes", "graphs": "yes, as CUDA graphs"}
_LEAST_START = 20.0  # seconds; compiling a network with all its kernels hardly takes less
_MOST_SAVED = 0.5  # of a pass; more than compiling saves a convolutional network
_LEAST_SAVED = 0.03  # of the time; less is within the noise, and not worth the memory
_MICROSECONDS = 1_000_000
# The first pass compiles, and the next two make CUDA graphs.
_FIRST_PASSES, _LATER_PASSES = 3, 15


class Timing(NamedTuple):
    """How long passes forward and backward take in one way."""

    start: float
    """Seconds that the first passes took longer: for compiling."""
    one: float
    """Seconds of one pass after that."""


Measure = Callable[[], Timing]


class _OtherFailed(Exception):
    """The way failed in another process."""


def choose_way(
    cfg: CFG, loop_state: LoopState, passes: int, device: Device, measure: Measure
) -> None:
    """Decide how the model runs, tell the device, and say so.

    Args:
        cfg: `executor.compile` and `run.deterministic` are used.
        loop_state: Keeps what was measured, so that the run goes on in the same way.
        passes: Forward and backward passes that are left in the run.
        device: Its `way` is set.
        measure: Measures passes in the way that the device is set to; leaves no trace.

    Raises:
        UserError: If the model shall be compiled and cannot be.
    """
    settled = settled_way(cfg, device.kind, device.ways, loop_state.way)
    if settled is None:
        settled = _measured(passes, device, measure)
        loop_state.way = settled[0]
    device.way, reason = settled
    if cfg.executor.compile is True and passes > 0:
        _try_out(device, measure)
    log.info("compile   %s (%s)", _SHOWN[device.way], reason)


def settled_way(
    cfg: CFG, kind: str, ways: Sequence[Way], kept: str | None
) -> tuple[Way, str] | None:
    """Return the way and why, or None if it has to be measured.

    Args:
        cfg: `executor.compile` and `run.deterministic` are used.
        kind: `cuda`, `mps` or `cpu`.
        ways: What can be measured, `plain` first.
        kept: What was measured when the run began; None: nothing.
    """
    if cfg.executor.compile != "auto":
        return ("compiled" if cfg.executor.compile else "plain"), "as configured"
    if kind != "cuda":
        return "plain", f"auto: {'a CPU' if kind == 'cpu' else kind} gains little"
    if cfg.run.deterministic:
        return "plain", "auto: run.deterministic, and what is measured differs from time to time"
    if len(ways) == 1:
        return ways[0], "auto: never with this strategy"
    for way in ways:
        if way == kept:
            return way, "auto: as the run began"
    return None


def timed(take_pass: Callable[[], None]) -> Timing:
    """Measure what goes forward and backward once, and returns when the device is done."""
    seconds = []
    for _ in range(_FIRST_PASSES + _LATER_PASSES):
        begun = time.perf_counter()
        take_pass()
        seconds.append(time.perf_counter() - begun)
    one = statistics.median(seconds[_FIRST_PASSES:])
    return Timing(max(sum(seconds[:_FIRST_PASSES]) - _FIRST_PASSES * one, 0.0), one)


def may_pay(one: float, passes: int) -> bool:
    """Return whether a run is so long that compiling could pay, whatever it saves.

    Args:
        one: Seconds of a pass as it is.
        passes: How many are left.
    """
    return passes * one * _MOST_SAVED > _LEAST_START


def quickest(timings: Mapping[Way, Timing], passes: int) -> tuple[Way, str]:
    """Return the way in which the rest of a run takes least time, and why.

    A later way must be better than those before it by more than noise.

    Args:
        timings: `plain` first.
        passes: How many are left.
    """
    seconds = {way: timing.start + passes * timing.one for way, timing in timings.items()}
    best: Way = "plain"
    for way in timings:
        if seconds[way] < (1.0 - _LEAST_SAVED) * seconds[best]:
            best = way
    plain, *others = timings.items()
    told = [f"auto: {passes:,} passes of {1e3 * plain[1].one:.3g} ms"]
    told += [f"{way} {1e3 * t.one:.3g} ms after {t.start:.0f} s" for way, t in others]
    return best, "; ".join(told)


def _measured(passes: int, device: Device, measure: Measure) -> tuple[Way, str]:
    """Measure what may pay; what fails is left out, with a warning."""
    timings: dict[Way, Timing] = {}
    failed = ""
    for way in device.ways:
        device.way = way
        try:
            timings[way] = _agreed(device, measure)
        except Exception as error:
            if way == "plain":
                raise
            log.warning("the model goes on without being compiled (%s): %s", way, _brief(error))
            failed = f"; {way} fails"
            break
        if not may_pay(timings["plain"].one, passes):
            break
    # Its own first passes have to be gone through in any case.
    timings["plain"] = timings["plain"]._replace(start=0.0)
    way, reason = quickest(timings, passes)
    return way, reason + failed


def _try_out(device: Device, measure: Measure) -> None:
    """Run a few passes, so that what cannot be compiled is told before training begins."""
    try:
        _agreed(device, measure)
    except Exception as error:
        if "out of memory" in str(error):
            raise
        raise UserError(
            f"executor.compile=true: the model cannot be compiled ({_brief(error)}). "
            "Set it to false or auto; --debug shows all that the compiler says."
        ) from error


def _agreed(device: Device, measure: Measure) -> Timing:
    """Measure in all processes; return the slowest one's numbers, since all wait for that one."""
    error, timing = None, Timing(0.0, 0.0)
    try:
        timing = measure()
    except Exception as caught:
        error = caught
    counts = [int(seconds * _MICROSECONDS) for seconds in timing]
    *slowest, failed = device.world.largest(*counts, error is not None)
    if error is not None:
        raise error
    if failed:
        raise _OtherFailed("it failed in another process")
    return Timing(*(count / _MICROSECONDS for count in slowest))


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
