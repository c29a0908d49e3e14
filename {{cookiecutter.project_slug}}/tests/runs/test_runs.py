"""The list of runs tells the truth about each, also about killed ones, old ones and broken ones."""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from executor.runs import status
from executor.runs.callback import RunInfo
from executor.runs.listing import Run, find_runs
from executor.runs.run_directory import RunDirectory
from executor.runs.throughput import Throughput
from main import main
from utils.errors import UserError
from utils.logs import log
from utils.storage import PROJECT

CONFIG = "train:\n  monitor: quality\n  monitor_mode: max\n"
ELSEWHERE = "another-machine.example"


def ended_process() -> int:
    """Return the number of a process that is no more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def make_run(folder: Path, age: float = 0.0, **values: Any) -> Path:
    """Make the folder of a run that wrote its status so many seconds ago."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    when = datetime.now(UTC) - timedelta(seconds=age)
    content = {
        **{"status": "running", "step": 40, "total_steps": 256, "best": 0.5},
        **{"monitor": "quality", "updated": when.isoformat(), "pid": os.getpid()},
        **{"host": platform.node(), "samples_per_second": None, **values},
    }
    (folder / "status.json").write_text(json.dumps(content))
    return folder


def make_young_run(folder: Path) -> Path:
    """Make the folder of a run that has not begun to train."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def only(folder: Path) -> Run:
    (run,) = find_runs(str(folder))
    return run


def test_a_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run", "run", lambda: None)
    info = RunInfo("", {}, 3, 9, 4, "cpu", 1)
    before = datetime.now(UTC) - timedelta(seconds=1)
    values = iter([0.25, float("nan")])
    file = status.StatusFile(run.status, "quality", Throughput(4), lambda: next(values))
    file.start(info)
    said = status.read(run.status)
    assert said is not None
    assert (said.status, said.step, said.total_steps) == ("running", 3, 9)
    assert (said.best, said.monitor) == (0.25, "quality")
    assert (said.pid, said.host) == (os.getpid(), platform.node())
    assert before <= said.time <= datetime.now(UTC)
    assert status.is_alive(said)
    file.step(9, {"loss": 1.0})
    file.end("finished")
    said = status.read(run.status)
    assert said is not None
    assert (said.status, said.step, said.best) == ("finished", 9, None)
    assert os.listdir(run.path) == ["status.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"status": "running"}', None, "\x00", '"x"', "{"]
)
def test_what_is_no_status_counts_as_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "status.json").write_text(text)
    assert status.read(tmp_path / "status.json") is None


@pytest.mark.parametrize("wrong", [{"status": "asleep"}, {"updated": "noon"}, {"updated": 5}])
def test_a_status_with_a_wrong_value_counts_as_none(tmp_path: Path, wrong: Any) -> None:
    folder = make_run(tmp_path / "run", **wrong)
    assert status.read(folder / "status.json") is None
    assert only(tmp_path).status == "stopped"


@pytest.mark.parametrize("state", ["finished", "stopped", "diverged", "failed"])
def test_the_end_of_a_run_is_what_it_says(tmp_path: Path, state: str) -> None:
    make_run(tmp_path / "run", status=state, pid=ended_process())
    run = only(tmp_path)
    assert (run.name, run.status) == ("run", state)
    assert (run.step, run.total_steps, run.monitor, run.best) == (40, 256, "quality", 0.5)
    assert bool(run.note) == (state == "stopped")


def test_a_run_counts_as_running_only_while_its_process_lives(tmp_path: Path) -> None:
    make_run(tmp_path / "alive", age=5000)
    make_run(tmp_path / "elsewhere", age=500, host=ELSEWHERE)
    make_run(tmp_path / "killed", pid=ended_process())
    make_run(tmp_path / "silent", age=700, host=ELSEWHERE)
    runs = {run.name: run for run in find_runs(str(tmp_path))}
    assert {name: run.status for name, run in runs.items()} == {
        **{"alive": "running", "elsewhere": "running"},
        **{"killed": "stopped", "silent": "stopped"},
    }
    assert runs["killed"].note == "it was killed; the same command continues it"
    assert runs["alive"].note is None


def test_one_broken_run_does_not_spoil_the_list(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    broken = make_young_run(tmp_path / "broken")
    (broken / "config.yaml").write_bytes(b"\xff: [")
    (broken / "status.json").write_text("[1")
    make_young_run(tmp_path / "young")
    assert {run.name: run.status for run in find_runs(str(tmp_path))} == {
        "good": "running",
        "broken": "stopped",
        "young": "stopped",
    }


def test_runs_are_found_a_level_or_two_below_newest_first(tmp_path: Path) -> None:
    make_run(tmp_path / "one", age=300)
    make_run(tmp_path / "sweep" / "two", age=100)
    make_run(tmp_path / "sweep" / "deep" / "three")
    make_run(tmp_path / "one" / "inside")
    make_run(tmp_path / ".hidden")
    assert [run.name for run in find_runs(str(tmp_path))] == ["sweep/two", "one"]
    assert only(tmp_path / "one").name == "one"
    with pytest.raises(UserError, match="there is no such folder"):
        find_runs(str(tmp_path / "nowhere"))


def test_the_table_is_aligned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "new", age=30)
    make_run(tmp_path / "older", status="stopped", age=3 * 3600 + 5, best=None, step=7)
    make_run(tmp_path / "oldest", status="diverged", age=50 * 3600, monitor="loss", best=12.25)
    main(["runs", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "status    step       best            updated   name"
    assert lines[2] == "stopped   7 of 256   -               3 h ago   older"
    assert lines[3] == "diverged  40 of 256  loss 12.2500    2 d ago   oldest"
    assert lines[1].startswith("running   40 of 256  quality 0.5000  3")
    assert lines[4:] == ["", "A run that stopped is not lost: the same command continues it."]


def test_the_list_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path / "run", status="finished")
    main(["runs", str(tmp_path), "--json"])
    (run,) = json.loads(capsys.readouterr().out)
    assert run["path"] == str(folder.resolve())
    assert (run["status"], run["step"], run["best"], run["note"]) == ("finished", 40, 0.5, None)
    assert datetime.fromisoformat(run["updated"]).tzinfo is not None


def test_where_no_run_is_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["runs", str(tmp_path)])
    assert "There is no run in" in capsys.readouterr().out
    monkeypatch.setattr("utils.storage.PROJECT", tmp_path / "project")
    main(["runs"])  # not made yet, which is no mistake
    assert "There is no run in" in capsys.readouterr().out


def test_a_hundred_runs_are_listed_quickly_and_without_a_framework(tmp_path: Path) -> None:
    for number in range(50):
        make_run(tmp_path / f"new {number}")
        make_young_run(tmp_path / f"young {number}")
    code = (
        "import sys, main\n"
        "main.main(['runs', sys.argv[1]])\n"
        "heavy = {'torch', 'tensorflow', 'keras', 'numpy', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    begun = time.monotonic()
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 103
    assert time.monotonic() - begun < 10  # a second at most where nothing else runs


def test_lines_that_are_no_rows_are_skipped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    run = RunDirectory(tmp_path, str(tmp_path), lambda: None)
    good = [{"step": step, "split": "train", "loss": 1.0} for step in (1, 2, 3)]
    lines = [json.dumps(row) for row in good]
    run.history.write_text("\n".join([lines[0], "", "{}", "5", lines[1], '{"st', lines[2]]) + "\n")
    assert run.rows() == good
    assert "metrics.jsonl: skipped what is no row: 4 lines, the first is 2" in caplog.text
    caplog.clear()
    run.forget_after(2)
    assert run.rows() == good[:2]
    run.history.write_text("\n".join(lines) + '\n{"step": 4, "lo')  # as a kill leaves it
    caplog.clear()
    assert run.rows() == good
    assert caplog.text == ""


def configured(folder: Path, rate: float, mode: str = "max") -> None:
    text = f"run: {{dir: {folder}}}\ntrain: {{monitor_mode: {mode}, optimizer: {{rate: {rate}}}}}\n"
    (folder / "config.yaml").write_text(text + "model: {widths: [4, 8]}\n")


def test_settings_that_differ_have_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (rate, best) in enumerate([(0.1, 0.5), (0.01, 0.75), (0.001, None)]):
        configured(make_run(tmp_path / f"run{number}", age=60 * number, best=best), rate)
    main(["runs", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["status", "step", "best", "rate", "updated", "name"]
    assert [line.split()[-1] for line in lines[1:4]] == ["run0", "run1", "run2"]
    assert " 0.01 " in lines[2]
    assert "widths" not in lines[0]
    main(["runs", "--sort", "best", str(tmp_path), "--json"])
    runs = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in runs] == ["run1", "run0", "run2"]
    assert runs[0]["settings"]["train.optimizer.rate"] == 0.01
    assert runs[0]["settings"]["model.widths"] == [4, 8]
    assert "run.dir" not in runs[0]["settings"]
    for number in (0, 1):
        configured(tmp_path / f"run{number}", 0.1, mode="min")
    main(["runs", "--sort", "best", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ["run0", "run1", "run2"]
