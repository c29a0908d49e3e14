"""torchrun gets what several machines need, and notes end a launch only where they may."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.schema import Resources
from executor.launch import launcher as ranks
from executor.launch import rank
from executor.launch.processes import Launch
from utils.errors import UserError


def launch(address: str | None = None, node_rank: int | None = None, **given: Any) -> Launch:
    needs: dict[str, Any] = {
        "processes_per_node": 2,
        "max_restarts": 2,
        "cpus_per_process": 1,
        **given,
    }
    return Launch(("main.py",), Resources(**needs), address, node_rank)


def test_one_machine_needs_no_address() -> None:
    command = ranks._torchrun(launch())
    assert "--standalone" in command
    assert command[command.index("--nproc-per-node") + 1] == "2"
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE" not in ranks._settings(launch())


def test_several_machines_meet() -> None:
    several = launch(nodes=2, address="node0:29400", node_rank=1)
    command = ranks._torchrun(several)
    assert command[command.index("--rdzv-endpoint") + 1] == "node0:29400"
    assert "is_host=0" in command[command.index("--rdzv-conf") + 1]
    assert ranks._settings(several)["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] == "1"
    with pytest.raises(UserError, match="needs --rendezvous HOST:PORT"):
        ranks._torchrun(launch(nodes=2))


def test_the_environment_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert "OMP_NUM_THREADS" not in ranks._settings(launch())


def test_a_process_without_a_launcher_just_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LAUNCH_NOTES", raising=False)
    assert rank.as_rank(lambda: 2) == 2
    monkeypatch.setenv("LAUNCH_NOTES", str(tmp_path / "gone"))
    assert rank.as_rank(lambda: 143) == 143


def test_notes_are_final_when_all_agree_or_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = ranks._Notes(tmp_path, 2)
    assert not notes.are_final()
    (tmp_path / "0.1.143").touch()
    assert not notes.are_final()  # the other one may follow
    monkeypatch.setattr(ranks, "_TOGETHER_SECONDS", 0.0)
    assert not notes.are_final()  # it died, and this one was only asked to stop
    assert (tmp_path / "0.seen").exists()
    (tmp_path / "1.0.2").touch()
    assert notes.are_final()
    assert not notes.are_complete()
    assert notes.codes() == [2]
    notes.answer()
    assert not notes.are_final()


def test_notes_of_processes_that_are_done_end_nothing(tmp_path: Path) -> None:
    notes = ranks._Notes(tmp_path, 2)
    (tmp_path / "0.0.0").touch()
    (tmp_path / "0.1.0").touch()
    assert not notes.are_final()
    assert notes.are_complete()


def test_only_processes_that_all_run_are_signalled(tmp_path: Path) -> None:
    notes = ranks._Notes(tmp_path, 2)
    (tmp_path / "0.0.runs-11").touch()
    assert notes.running() == []
    (tmp_path / "0.1.runs-12").touch()
    assert sorted(notes.running()) == [11, 12]
    (tmp_path / "0.1.143").touch()
    assert notes.running() == [11]
    (tmp_path / "1.0.runs-13").touch()
    assert (notes.running(), notes.attempt(), notes.codes()) == ([], 1, [])


@pytest.mark.parametrize(("seen", "expected"), [("seen", 0), ("3.seen", 143)])
def test_a_process_waits_until_its_note_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: str, expected: int
) -> None:
    monkeypatch.setenv("LAUNCH_NOTES", str(tmp_path))
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "3")
    (tmp_path / seen).touch()
    (tmp_path / "3.1.runs-1").touch()  # of a process before this one
    assert rank.as_rank(lambda: 143) == expected
    names = {path.name for path in tmp_path.glob("3.1.*")}
    assert names == {"3.1.143", f"3.1.runs-{os.getpid()}"}
    assert rank.as_rank(lambda: 0) == 0


def test_a_process_that_lost_one_that_refused_waits_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNCH_NOTES", str(tmp_path))
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(rank, "_NOTICED_SECONDS", 0.3)
    assert rank.as_rank(lambda: 1) == 1  # nobody refused: all start again
    (tmp_path / "0.1.2").touch()
    (tmp_path / "seen").touch()
    assert rank.as_rank(lambda: 1) == 0


def test_a_process_that_ends_after_the_launcher_was_stopped_starts_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNCH_NOTES", str(tmp_path))
    monkeypatch.setattr(rank, "_NOTICED_SECONDS", 0.0)
    (tmp_path / "seen").touch()
    assert rank.as_rank(lambda: 1) == 0


@pytest.mark.parametrize(
    ("code", "notes", "received", "expected"),
    [
        *((0, [], None, 0), (0, [0, 0], 15, 0), (1, [], None, 1), (0, [143, 143], None, 143)),
        *((1, [143, 143], 15, 143), (1, [130], 2, 130), (1, [2], 15, 2), (0, [3, 143], None, 3)),
        *((-15, [], 15, 143), (-9, [], None, 1), (0, [143, 0], None, 143)),
        *((0, [1, 1], 15, 143), (0, [1, 2], None, 2), (0, [1, 0], None, 1)),
    ],
)
def test_the_result(code: int, notes: list[int], received: int | None, expected: int) -> None:
    assert ranks._result(code, notes, received) == expected


ENDING = """
import atexit, os, sys
from executor.launch import launcher as ranks
from executor.launch import rank
atexit.register(print, "handlers run")
class Late:
    def __del__(self):
        print("Python goes down")
late = Late()
sys.stdout.write("said, ")
rank.end(3)
"""


@pytest.mark.parametrize(
    ("size", "said"),
    [(None, "said, handlers run\nPython goes down\n"), ("2", "said, handlers run\n")],
)
def test_a_rank_ends_before_python_goes_down(
    monkeypatch: pytest.MonkeyPatch, size: str | None, said: str
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size is not None:
        monkeypatch.setenv("WORLD_SIZE", size)
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, said), done.stderr
