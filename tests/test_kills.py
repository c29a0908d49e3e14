"""Runs that are killed, stopped or damaged end with the same bits: three of each.

`python tools/kill_runs.py --kills 50` does the same at length.
"""

from pathlib import Path

import pytest

from kill_runs import Runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(project: Path, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(project, python, tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("disturb", [Runs.killed, Runs.stopped, Runs.damaged])
def test_disturbed_runs_end_with_the_same_bits(runs: Runs, disturb):
    # With and without workers, in a checkpoint and between two.
    assert [disturb(runs, number) for number in range(3)] == [""] * 3
