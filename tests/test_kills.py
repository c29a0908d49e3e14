"""Runs that are killed, stopped or damaged end with the same bits: a few of each.

`python tools/kill_runs.py --kills 50` does the same at length.
"""

from pathlib import Path

import pytest

from kill_runs import Runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(project: Path, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(project, python, tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize(
    ("disturb", "numbers"),
    # A kill during a write and a stop, without workers: those of test_training.py are with them.
    [(Runs.killed, (2,)), (Runs.stopped, (0,)), (Runs.damaged, (0, 1, 2))],
)
def test_disturbed_runs_end_with_the_same_bits(runs: Runs, disturb, numbers: tuple[int, ...]):
    assert [disturb(runs, number) for number in numbers] == [""] * len(numbers)
