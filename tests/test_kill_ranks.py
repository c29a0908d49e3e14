"""With a launcher for each of two processes, as on two machines, runs survive what happens to one.

`python tools/kill_ranks.py --kills 10` does the same at length.
"""

import sys
from pathlib import Path

import pytest

from kill_ranks import Launches

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture(scope="module")
def launches(
    project: Path, python: Path, framework: str, tmp_path_factory: pytest.TempPathFactory
) -> Launches:
    folder = tmp_path_factory.mktemp("launches")
    return Launches(project, python, folder, framework, agents=2, seed=0)


def test_a_killed_process_is_started_again(launches: Launches):
    assert [launches.killed(number) for number in range(2)] == ["", ""]


def test_another_machine_comes_in_place_of_a_lost_one(launches: Launches):
    assert launches.lost(0) == ""
