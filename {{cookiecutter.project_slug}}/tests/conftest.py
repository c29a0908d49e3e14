"""What the tests of several rooms share."""

import gc
import signal
from typing import Any

import pytest

from executor.runs.run_directory import RunDirectory

# As main.py does for a command: to look for garbage takes an eighth of the time where a framework
# makes many small objects.
gc.set_threshold(50_000)

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs end with a stand-in for the report; to draw it takes longer than a few steps.

    Fixtures of a whole file come before this one, so what they train has its report.
    """

    def write_title(run: RunDirectory, *_: Any) -> str:
        run.report.write_text(run.path.name, encoding="utf-8")
        return run.address

    monkeypatch.setattr("executor.training.finish.report_of", write_title)
