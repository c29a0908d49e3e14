"""Paths say what the environment fills in, and begin where people expect."""

from pathlib import Path

import pytest

from configs.loading import load_config
from utils import storage
from utils.errors import UserError
from utils.storage import PROJECT, expanded, given, resolve


def test_variables_and_the_home_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/fast")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("USERPROFILE", "/home/someone")
    monkeypatch.delenv("NOT_SET", raising=False)
    assert resolve("${SCRATCH}/r1") == str(Path("/fast/r1"))
    assert expanded("${NOT_SET:-runs}/r1") == str(Path("runs/r1"))
    assert expanded("s3://bucket/${SCRATCH}/x") == "s3://bucket//fast/x"
    assert expanded("~/x") == str(Path("/home/someone/x"))
    assert resolve("runs/a") == str(PROJECT / "runs" / "a")
    assert expanded("runs/costs $5") == str(Path("runs/costs $5"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("${NOT_SET}/r1", r"NOT_SET is not set. Set it, or give a default: \$\{NOT_SET:-folder\}"),
        ("$DATA/x", r"write \$\{DATA\} for an environment variable"),
        ("runs/$USER", r"write \$\{USER\}"),
    ],
)
def test_what_is_not_there_is_refused(
    path: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(UserError, match=message):
        resolve(path)


def test_a_home_that_is_not_there_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", none)
    with pytest.raises(UserError, match="there is no home folder"):
        expanded("~/x")


def test_a_path_of_the_command_line_is_here_or_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert given("configs/debug.yaml") == str(PROJECT / "configs" / "debug.yaml")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "debug.yaml").touch()
    assert given("configs/debug.yaml") == str(Path("configs/debug.yaml"))
    assert given("nowhere") == "nowhere"
    assert given("memory://configs/debug.yaml") == "memory://configs/debug.yaml"


@pytest.mark.parametrize("text", ["runs/a #1", "runs/ü & ö", "runs/50%", "runs/a?b=c", "a'b"])
def test_a_folder_may_be_called_anything(text: str) -> None:
    cfg = load_config(None, [f"run.dir={text}"])
    assert cfg.run.dir == text
    assert storage.resolve(cfg.run.dir) == str(PROJECT / text)
