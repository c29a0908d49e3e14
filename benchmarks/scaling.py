"""Weak scaling: images a second of two processes beside one, each with a thread and its own batch.

The processes are started as users start them, by `main.py launch`. In wall time, what they say
about their speed is believed: `speed.json` of the run, which leaves out the start, evaluations and
checkpoints. In CPU time, the start is left out by the difference to a shorter training. That does
not see that one waits for the other, but is what remains to look at while others use the machine.
"""

import json
import statistics
from typing import NamedTuple

from effort import Effort
from places import Places
from processes import usage_of
from results import Row

WANTED = 1.7
_START = 14  # steps of the shorter training; the first ten do not count as speed
_BATCH = 32  # samples of each process, as many as a fresh project's batch has
_SETTINGS = (
    *("executor.device=cpu", "executor.threads=1", "executor.precision=fp32"),
    *("train.epochs=100000", "train.evaluate_every=100000", "train.checkpoint_every=100000"),
    "data.source.validation=64",
)


class _Speed(NamedTuple):
    wall: float
    """Images a second."""
    cpu: float
    """Images a second if each process had a core of its own, and never waited."""


def weak_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare two processes with one; they take turns, so that all see the same machine."""
    speeds: dict[int, list[_Speed]] = {1: [], 2: []}
    for number in range(effort.repetitions):
        for processes in (1, 2) if number % 2 == 0 else (2, 1):
            speeds[processes].append(_speed(places, processes, effort.scaling_steps))
    pairs = list(zip(speeds[1], speeds[2], strict=True))
    ratios = {"wall": [two.wall / one.wall for one, two in pairs]}
    ratios["cpu"] = [two.cpu / one.cpu for one, two in pairs]
    return [
        Row(
            "scaling.two-processes",
            "images/s of two single-threaded processes with two batches / of one with one",
            value=statistics.median(ratios["wall"]),
            cpu=statistics.median(ratios["cpu"]),
            limit=WANTED,
            better="higher",
            details={
                "images/s by processes": {
                    str(number): [speed._asdict() for speed in found]
                    for number, found in speeds.items()
                },
                "ratios": ratios,
            },
        )
    ]


def _speed(places: Places, processes: int, steps: int) -> _Speed:
    """Return how fast a training in so many processes is."""
    _, before = _trained(places, processes, _START)
    rate, after = _trained(places, processes, steps)
    seconds = (after - before) / (steps - _START) / processes  # of a step, in each
    return _Speed(rate, processes * _BATCH / seconds)


def _trained(places: Places, processes: int, steps: int) -> tuple[float, float]:
    """Train so many steps; return the samples a second, and the CPU seconds of all processes."""
    run = places.fresh_folder(f"scaling-{processes}") / "run"
    words = [f"run.dir={run}", f"train.max_steps={steps}", *_SETTINGS]
    words.append(f"train.batch_size={processes * _BATCH}")
    launch = ["launch", "--processes", str(processes), "--restarts", "0", "--"]
    command = ["main.py", *(launch if processes > 1 else []), "train", *words]
    environment = {**places.environment(), "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    used = usage_of([places.python, *command], places.project, environment)
    speed = json.loads((run / "speed.json").read_text(encoding="utf-8"))
    return float(speed["samples_per_second"]), used.cpu
