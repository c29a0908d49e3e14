"""Commands as a user adds and calls them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from executor.commands import parse, print_values
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

COUNT = '''
"""python main.py count: counts to a number."""

HELP = "count to a number"


def add_arguments(parser):
    parser.add_argument("number", type=int)


def run(arguments):
    print(*range(1, arguments.number + 1))
'''
TINY = str(PROJECT / "tests" / "tiny.yaml")


def test_a_new_file_is_a_new_command(tmp_path: Path) -> None:
    for part in ("executor", "utils"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    shutil.copy(PROJECT / "main.py", tmp_path)
    (tmp_path / "executor" / "commands" / "count.py").write_text(COUNT)

    def answer(*words: str) -> str:
        command = [sys.executable, "main.py", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    assert answer("count", "3") == "1 2 3\n"
    assert "count to a number" in answer("--help")
    assert "--debug" in answer("count", "--help")


@pytest.mark.parametrize("command", ["train", "check", "config", "evaluate"])
def test_help_lists_the_settings(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "  train.epochs: whole number at least 1" in capsys.readouterr().out


def test_check_gives_json_to_other_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "--json", "--config", TINY, f"run.dir={tmp_path / 'run'}"]
    main(words)
    answer = json.loads(capsys.readouterr().out)
    assert answer["bad"] == 0
    assert {"check": "configuration", "verdict": "ok", "found": TINY} in answer["checks"]
    with pytest.raises(UserError, match="1 of"):
        main([*words, "train.epochs=none"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["bad"] == 1
    assert answer["checks"][-1]["verdict"] == "bad"
    assert "train.epochs: expected a whole number" in answer["checks"][-1]["found"]


def test_config_gives_json_to_other_programs(capsys: pytest.CaptureFixture[str]) -> None:
    main(["config", "--json", "train.epochs=2"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["values"]["train"]["epochs"] == 2
    assert answer["origins"]["train.epochs"] == "command line"


def test_options_and_other_words_come_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    main(["config", "train.epochs=2", "--json", "run.seed=5", "--config", TINY, "train.epochs=4"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["values"]["train"]["epochs"] == 4  # of two words for one key the last counts
    assert answer["values"]["run"]["seed"] == 5
    arguments = parse(["predict", "RUN", "a.png", "--output", "out", "b.png"])
    assert arguments.inputs == ["a.png", "b.png"]
    arguments = parse(["evaluate", "RUN", "train.accumulate=2", "--split", "train", "run.seed=1"])
    assert (arguments.split, arguments.overrides) == ("train", ["train.accumulate=2", "run.seed=1"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], r"invalid choice: 'nonsense'.*usage: main\.py"),
        ([], r"required: COMMAND\nusage: main\.py"),
        (["predict", "RUN"], r"required: .*--output\nusage: main\.py predict"),
        (["train", "--confg", "x"], r"unrecognized arguments: --confg.*usage: main\.py train"),
    ],
)
def test_mistakes_do_not_end_a_notebook(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        main(words)


@pytest.mark.parametrize("option", ["-P", "-I"])
def test_python_may_leave_the_folder_of_the_program_out(option: str, tmp_path: Path) -> None:
    command = [sys.executable, option, str(PROJECT / "main.py"), "config", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["values"]["run"]["seed"] == 0


def test_what_is_no_number_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_values({"loss": 0.5, "f1": float("nan"), "far": float("inf")})
    assert json.loads(capsys.readouterr().out) == {"loss": 0.5, "f1": None, "far": None}


def test_a_second_project_in_one_interpreter_is_refused(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "main.py", tmp_path)
    script = "import runpy, sys; [runpy.run_path(path) for path in sys.argv[1:]]"
    paths = [str(PROJECT / "main.py"), str(tmp_path / "main.py")]
    command = [sys.executable, "-c", script, *paths]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert str(PROJECT / "executor") in last
    assert f"from another project, and would be used in place of the code beside {tmp_path}" in last
