"""What checks, and says what was found."""

from pathlib import Path
from typing import Any

import pytest

from main import main
from utils.errors import UserError
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that checks and returns the lines that were printed."""

    def run(*words: str) -> list[str]:
        capsys.readouterr()
        main(["check", "--config", TINY, f"run.dir={tmp_path / 'run'}", *words])
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def refused(check: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that checks, expects faults and returns the lines that name them."""

    def run(*words: str) -> list[str]:
        with pytest.raises(UserError, match="checks found something bad") as caught:
            check(*words)
        assert caught.value.exit_code == 2
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if line.startswith("bad")]

    return run
