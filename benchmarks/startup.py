"""What it costs to start: CPU time to the first optimizer step, and to an answer."""

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

from effort import Effort
from places import Places
from processes import Usage, usage_of
from results import Row

# What is wanted.
_FIRST_STEP = {"pytorch": 1.05, "tensorflow": 1.15}
_ANSWER_SECONDS = 0.25


def first_step_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare `main.py train` with a script written by hand, each until its first step is done."""

    def executor() -> Usage:
        run = places.fresh_folder("first-step") / "run"
        words = ["main.py", "train", "model.target=first_step:FirstStepUNet", f"run.dir={run}"]
        return usage_of([places.python, *words], places.project, places.environment())

    def bare() -> Usage:
        script = places.child("first_step_bare.py")
        return usage_of([places.python, script], places.project, places.environment())

    seconds = _alternately({"executor": executor, "bare": bare}, effort)
    ratios = [a / b for a, b in zip(seconds["executor"], seconds["bare"], strict=True)]
    return [
        Row(
            "startup.first-step",
            "CPU time to the first optimizer step: main.py train / a bare script",
            value=statistics.median(ratios),
            cpu=statistics.median(ratios),
            limit=_FIRST_STEP[places.framework],
            details={"CPU seconds": seconds},
        )
    ]


def answer_rows(places: Places, effort: Effort) -> list[Row]:
    """Measure the commands that import no framework."""

    def command(*words: str) -> Callable[[], Usage]:
        line: list[str | Path] = [places.python, "main.py", *words]
        return lambda: usage_of(line, places.project, places.environment())

    seconds = _alternately({"help": command("--help"), "config": command("config")}, effort)
    return [
        Row(
            f"startup.{name}",
            f"CPU seconds of `main.py {words}`",
            value=statistics.median(seconds[name]),
            cpu=statistics.median(seconds[name]),
            limit=_ANSWER_SECONDS,
            details={"CPU seconds": seconds[name]},
        )
        for name, words in (("help", "--help"), ("config", "config"))
    ]


def _alternately(runs: Mapping[str, Callable[[], Usage]], effort: Effort) -> dict[str, list[float]]:
    """Return the CPU seconds of several kinds of process, taken in turn; the first do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(effort.repetitions + (not effort.is_quick)):
        for name, run in runs.items():
            used = run()
            # The first finds files that are not yet in memory.
            if number > 0 or effort.is_quick:
                seconds[name].append(round(used.cpu, 4))
    return seconds
