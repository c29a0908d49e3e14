"""When a run is saved, where, and what happens when it cannot be."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executor.checkpoints import checkpoint
from executor.runs.lock import local_lock, remote_lock
from main import main
from utils import storage
from utils.errors import UserError
from utils.exits import exit_code
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

TINY = str(PROJECT / "tests" / "tiny.yaml")
QUIET = ("run.tensorboard=false", "executor.precision=fp32")


def train(run: Path | str, *words: str) -> dict[str, float]:
    values: dict[str, float] = main(["train", "--config", TINY, f"run.dir={run}", *QUIET, *words])
    return values


def contents(run: Path) -> dict[str, bytes]:
    """Return the files whose bits follow from the seed."""
    names = ["metrics.jsonl", "metrics.json", "model.safetensors"]
    files = [run / name for name in names] + sorted((run / "checkpoints").iterdir())
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("local") / "run"
    train(run)
    return run


def test_a_second_process_on_a_run_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with local_lock(run):
        with pytest.raises(UserError, match="another process is writing to"):
            train(run)
        assert list(run.iterdir()) == []
    train(run)


def test_a_folder_that_stays_empty_is_not_left_behind(tmp_path: Path) -> None:
    with local_lock(tmp_path / "runs" / "new"):
        assert (tmp_path / "runs" / "new").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_with_other_settings_only_by_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run", "train.max_steps=2")
    other = ("train.max_steps=4", "train.clip_norm=0.5", "run.log_every=2")
    with pytest.raises(UserError, match=r"train\.clip_norm: None -> 0\.5\n.*--force") as refused:
        train(tmp_path / "run", *other)
    assert "max_steps" not in str(refused.value)
    assert "log_every" not in str(refused.value)
    train(tmp_path / "run", *other, "--force")
    assert "train.clip_norm: None -> 0.5" in capsys.readouterr().err
    assert checkpoint.steps(tmp_path / "run" / "checkpoints")[-1] == 4
    train(tmp_path / "run", *other)  # from now on it is a run with these


def test_checkpoints_may_come_by_the_clock(tmp_path: Path) -> None:
    often = ("train.checkpoint_minutes=1e-9", "train.keep_checkpoints=9", "train.epochs=4")
    train(tmp_path / "run", *often, "train.checkpoint_every=100", "data.source.train=64")
    # Without the clock there would be that of the end alone; some frameworks take steps together.
    steps = checkpoint.steps(tmp_path / "run" / "checkpoints")
    assert (steps[0], steps[-1]) == (1, 4)


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are a notion of POSIX")
def test_a_full_disk_is_told_and_spoils_nothing(
    tmp_path: Path,
    local: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import resource

    whole = checkpoint.write

    def write(folder: Path, step: int, *content: Any) -> None:
        before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        if step > 2:  # no file may grow beyond this
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, most))
        try:
            whole(folder, step, *content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write", write)
        assert exit_code(lambda: train(tmp_path / "run")) == 2
    told = capsys.readouterr().err
    assert "Earlier checkpoints are whole; make room" in told
    assert "Traceback" not in told
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2]
    assert not list(tmp_path.rglob("*.tmp"))
    train(tmp_path / "run")
    assert contents(tmp_path / "run") == contents(local)


def test_what_cannot_be_written_is_told_once(tmp_path: Path, local: Path) -> None:
    state = checkpoint.load_newest(local / "checkpoints")
    assert state is not None
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="the checkpoint cannot be written"):
        checkpoint.save(tmp_path / "file", 1, state)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"memory://saving{tmp_path}/run"


def remote(url: str, folder: Path) -> dict[str, bytes]:
    """Copy what a run at a URL consists of, and return it as `contents` does."""
    for here, there in ((folder, url), (folder / "checkpoints", f"{url}/checkpoints")):
        here.mkdir(parents=True)
        for name in storage.list_folder(there)[0]:
            storage.download(f"{there}/{name}", str(here / name))
    return contents(folder)


def test_a_run_at_a_url_has_the_same_bits(tmp_path: Path, local: Path, url: str) -> None:
    train(url)
    assert remote(url, tmp_path / "copy") == contents(local)
    assert (tmp_path / "copy" / "report.html").stat().st_size > 0
    assert not storage.exists(storage.join(url, "owner.json"))
    values = main(["evaluate", url, "--split", "validation"])
    assert values["loss"] == pytest.approx(
        json.loads((local / "metrics.json").read_text())["loss"], abs=1e-6
    )
    assert storage.exists(storage.join(url, "metrics-validation.json"))


def test_fine_tuning_takes_weights_from_a_url(tmp_path: Path, url: str, local: Path) -> None:
    storage.upload(str(local / "model.safetensors"), f"{url}/model.safetensors")
    still = ("train.max_steps=1", "train.optimizer.learning_rate=0")
    train(tmp_path / "run", f"train.init_from={url}/model.safetensors", *still)


def test_a_damaged_checkpoint_at_a_url_is_passed_over(
    tmp_path: Path, local: Path, url: str
) -> None:
    train(url)
    storage.write_bytes(f"{url}/checkpoints/step-00000004.safetensors", b"damaged")
    storage.remove(f"{url}/metrics.json")
    train(url)
    assert remote(url, tmp_path / "copy") == contents(local)


def test_a_second_process_on_a_url_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def owned(**facts: Any) -> None:
        storage.write_text(f"{url}/owner.json", json.dumps(facts))

    owned(host="another", pid=1, time=4e9)  # its last sign of life is not long ago
    with pytest.raises(UserError, match="process 1 on another ends, or remove"):
        train(url)
    owned(host="another", pid=1, time=0.0)
    with remote_lock(url):
        monkeypatch.setattr("socket.gethostname", lambda: "a third")
        with pytest.raises(UserError, match="another process is writing to memory://"):
            train(url)
        monkeypatch.undo()
    assert not storage.exists(f"{url}/owner.json")


SIGNALLED = """
import os, signal, sys, time
from utils.signals import StopSignals

with StopSignals(float(sys.argv[2])) as signals:
    for _ in range(int(sys.argv[1])):
        os.kill(os.getpid(), signal.SIGTERM)
        print(signals.received, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="elsewhere SIGTERM ends a process at once")
@pytest.mark.parametrize(
    ("signals", "repeat_seconds", "survived", "code"),
    [(1, 0, 1, 0), (2, 0, 1, -signal.SIGTERM), (2, 1e9, 2, 0), (2, 1e-9, 1, -signal.SIGTERM)],
)
def test_the_first_signal_is_remembered_and_the_second_ends_at_once(
    signals: int, repeat_seconds: float, survived: int, code: int
) -> None:
    command = [sys.executable, "-c", SIGNALLED, str(signals), str(repeat_seconds)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, f"{signal.SIGTERM.value}\n" * survived)


@pytest.fixture
def surviving() -> Iterator[None]:
    """Let a signal that a run does not handle fail the test, not end the tests."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere SIGTERM ends a process at once")
@pytest.mark.parametrize(
    "moment",
    [
        "executor.training.trainer.build_loss",
        "ops.losses.cross_entropy_loss",  # first called where a framework traces or compiles
        "executor.training.trainer.measure_speed",
    ],
)
@pytest.mark.usefixtures("surviving")
def test_a_signal_outside_of_the_steps_ends_the_run_in_order(
    tmp_path: Path,
    local: Path,
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def signalled(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(moment, signalled)
        assert exit_code(lambda: train(tmp_path / "run")) == 143
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("stopped; nothing is lost")
    assert "Traceback" not in told
    train(tmp_path / "run")
    assert contents(tmp_path / "run") == contents(local)


def test_no_thread_is_left_when_a_run_has_ended(tmp_path: Path) -> None:
    before = threading.active_count()
    train(tmp_path / "run")
    assert threading.active_count() <= before


def test_a_run_of_an_older_version_is_refused_with_the_way_to_finish_it(
    tmp_path: Path, local: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(local, run)
    facts = json.loads((run / "environment.json").read_text())
    del facts["format"]
    (run / "environment.json").write_text(json.dumps({**facts, "commit": "0123abc-dirty"}))
    before = contents(run)
    for refused in (lambda: train(run), lambda: main(["evaluate", str(run)])):
        with pytest.raises(UserError, match=r"older version .* check out 0123abc in another"):
            refused()
    assert contents(run) == before
    train(tmp_path / "new", f"train.init_from={run / 'model.safetensors'}")
