"""Training loops in processes of their own that take turns, so that all see the same machine.

A round gives each loop one turn of some steps, in one order and in the next round in the other.
What is compared are the loops of one round; what is reported is the median over the rounds.
"""

import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from places import Places

Turn = dict[str, float]
"""The `wall` and `cpu` seconds of a step, the mean over those of one turn."""
Round = dict[str, Turn]
"""The turns of a round by the loops' names."""


class Loop:
    """One training loop; see `children/shared/turns.py` for its side."""

    def __init__(
        self,
        places: Places,
        name: str,
        script: str,
        work: Mapping[str, Any],
        python: Path | None = None,
    ) -> None:
        """Start the process; it waits for its first turn.

        Args:
            places: Where things are.
            name: What to call the loop.
            script: The loop, a file in `children/`, in the framework's folder or in `shared`.
            work: The fields of the framework's `workload.Workload`, without the folder.
            python: The interpreter; None: that of the project.
        """
        folder = places.fresh_folder(name)
        self.name = name
        self._errors = folder / "errors.txt"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [
                    python or places.python,
                    places.child(script),
                    json.dumps({**work, "folder": str(folder)}),
                ],
                cwd=folder,
                env=places.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def turn(self, steps: int) -> Turn:
        """Let the loop take some steps while all others wait.

        A loop that takes several at once ends with the first of them that makes enough.

        Raises:
            RuntimeError: If it ended instead; with what it printed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101
        try:
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
            report = self._process.stdout.readline()
        except BrokenPipeError:
            report = ""
        if not report:
            raise RuntimeError(f"{self.name} ended:\n{self._errors.read_text()[-4000:]}")
        turn = json.loads(report)
        return {clock: turn[clock] / turn["steps"] for clock in ("wall", "cpu")}

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def take_turns(loops: Sequence[Loop], rounds: int, steps: int, warmup: int) -> list[Round]:
    """Return the rounds of some loops, and end the loops.

    Args:
        loops: They were started and wait.
        rounds: At least 1.
        steps: In each turn.
        warmup: Steps that each loop takes first and that do not count.
    """
    with ExitStack() as stack:
        for loop in loops:
            stack.callback(loop.close)
        for loop in loops:
            loop.turn(warmup)
        taken = []
        for number in range(rounds):
            order = loops if number % 2 == 0 else list(reversed(loops))
            taken.append({loop.name: loop.turn(steps) for loop in order})
        return taken


def ratio(rounds: Sequence[Round], name: str, other: str, clock: str) -> float:
    """Return the median over the rounds of one loop's time over another's.

    Args:
        rounds: From `take_turns`.
        name: Whose time is above the line.
        other: Whose time is below.
        clock: `wall` or `cpu`.
    """
    return statistics.median(turns[name][clock] / turns[other][clock] for turns in rounds)


def milliseconds(turn: Turn) -> dict[str, float]:
    """Return a turn in milliseconds, for reading."""
    return {clock: round(1e3 * seconds, 4) for clock, seconds in turn.items()}
