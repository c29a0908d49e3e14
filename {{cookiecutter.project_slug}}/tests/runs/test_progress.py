"""What a person sees while a run goes on, and what the program says when it ends."""

import io
import signal
import sys

import pytest

from executor.runs.callback import RunInfo
from executor.runs.progress import Progress
from executor.runs.throughput import Throughput
from utils.errors import DivergedError, StoppedError, UserError
from utils.exits import exit_code
from utils.logs import log, set_up


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def follow_a_run(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", screen)
    set_up()
    throughput = Throughput(batch_size=4)
    progress = Progress("quality", throughput)
    progress.start(RunInfo("", {}, 10, 20, 4, "cpu", 1))
    throughput.start()
    for step in range(11, 21):
        throughput.lap(10)
        progress.step(step, {"loss": 1.0 / step})
    progress.evaluation(20, {"loss": 0.25, "quality": 0.75})
    progress.step(20, {"loss": 0.05})
    progress.end("finished")
    return screen.getvalue()


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = follow_a_run(io.StringIO(), monkeypatch)
    assert "step 20/20  validation loss 0.2500  quality 0.7500" in text
    assert "samples/s, 0:00 left" in text
    assert "\x1b" not in text


def test_a_terminal_gets_a_bar_that_ends_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    text = follow_a_run(Terminal(), monkeypatch)
    assert "validation loss 0.2500" in text
    assert "20/20" in text.rsplit("\r", 1)[-1]


def test_warnings_are_labelled_and_decisions_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    set_up()
    log.info("device  cpu")
    log.warning("careful")
    assert capsys.readouterr().err == "device  cpu\nwarning: careful\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("mend it"), 2),
        (DivergedError("nan"), 3),
        (StoppedError("stopped", signal.SIGTERM), 143),
        (StoppedError("stopped", signal.SIGINT), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise error

    assert exit_code(command) == code
    shown = capsys.readouterr().err
    assert str(error) in shown
    assert "Traceback" not in shown
    assert exit_code(command, debug=True) == code


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 / 0)
