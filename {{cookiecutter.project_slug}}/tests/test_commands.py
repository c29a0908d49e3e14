"""Commands as a user adds and calls them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
