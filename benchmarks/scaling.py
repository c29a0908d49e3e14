"""Weak scaling: images a second of two processes beside one, each with a thread and its own batch.

The processes are started as users start them, by `main.py launch`, and what they say about their
speed is believed: `speed.json` of the run, which leaves out the start, evaluations and checkpoints.
"""

import json
import statistics

from effort import Effort
from places import Places
from processes import usage_of
from results import Row

WANTED = 1.7
_BATCH = 32  # samples of each process, as many as a fresh project's batch has
_SETTINGS = (
    *("executor.device=cpu", "executor.threads=1", "executor.precision=fp32"),
    *("train.epochs=100000", "train.evaluate_every=100000", "train.checkpoint_every=100000"),
    "data.source.validation=64",
)


def weak_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare two processes with one; they take turns, so that all see the same machine."""
    steps = effort.scaling_steps
    rates: dict[int, list[float]] = {1: [], 2: []}
    for number in range(effort.repetitions):
        for processes in (1, 2) if number % 2 == 0 else (2, 1):
            rates[processes].append(_rate(places, processes, steps))
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return [
        Row(
            "scaling.two-processes",
            "images/s of two single-threaded processes with two batches / of one with one",
            value=statistics.median(ratios),
            limit=WANTED,
            better="higher",
            details={
                "images/s by processes": {str(n): found for n, found in rates.items()},
                "ratios": ratios,
            },
        )
    ]


def _rate(places: Places, processes: int, steps: int) -> float:
    """Return the images a second of a training in so many processes."""
    run = places.fresh_folder(f"scaling-{processes}") / "run"
    words = [f"run.dir={run}", f"train.max_steps={steps}", *_SETTINGS]
    words.append(f"train.batch_size={processes * _BATCH}")
    launch = ["launch", "--processes", str(processes), "--restarts", "0", "--"]
    command = ["main.py", *(launch if processes > 1 else []), "train", *words]
    environment = {**places.environment(), "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    usage_of([places.python, *command], places.project, environment)
    speed = json.loads((run / "speed.json").read_text(encoding="utf-8"))
    return float(speed["images_per_second"])
