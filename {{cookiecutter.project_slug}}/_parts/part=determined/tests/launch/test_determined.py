"""What Determined is told of a run, by a stand-in for its core context: none is installed here."""

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from executor.checkpoints import checkpoint
from executor.launch import determined as determined_trial
from executor.launch.determined import Watch, hyperparameter_words
from executor.runs.run_directory import RunDirectory, json_line
from utils.errors import StoppedAtOnceError
from utils.signals import StopSignals, stopping_at_once


class Core:
    """Notes down what it is told; it is its own `train`, `checkpoint` and `preempt`."""

    def __init__(self) -> None:
        self.train = self.checkpoint = self.preempt = self
        self.rows: list[tuple[str, int, Mapping[str, Any]]] = []
        self.uploads: list[tuple[int, set[str]]] = []
        self.preempts = False

    def report_training_metrics(self, steps_completed: int, metrics: Mapping[str, Any]) -> None:
        self.rows.append(("train", steps_completed, metrics))

    def report_validation_metrics(self, steps_completed: int, metrics: Mapping[str, Any]) -> None:
        self.rows.append(("validation", steps_completed, metrics))

    def upload(self, folder: str, metadata: Mapping[str, int]) -> None:
        self.uploads.append((metadata["steps_completed"], set(os.listdir(folder))))

    def should_preempt(self) -> bool:
        return self.preempts


def always() -> bool:
    return True


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "run", str(tmp_path / "run"), lambda: None)


def add(run: RunDirectory, step: int, loss: float) -> None:
    run.path.mkdir(exist_ok=True)
    values = {"step": step, "epoch": 0.5, "split": "train", "loss": loss, "grad_norm": float("nan")}
    with run.history.open("a", encoding="utf-8") as file:
        file.write(json_line(values))


def test_what_is_new_is_reported_once(run: RunDirectory) -> None:
    core = Core()
    watch = Watch(core, run, always)
    watch.report()  # there is no folder yet
    add(run, 1, 0.5)
    watch.report()
    checkpoint.save(run.checkpoints, 2, {"any": 1})
    (run.checkpoints / "step-00000004.json.1.tmp").touch()
    add(run, 2, 0.25)
    watch.report()
    watch.report()
    assert core.rows == [
        ("train", 1, {"epoch": 0.5, "loss": 0.5}),
        ("train", 2, {"epoch": 0.5, "loss": 0.25}),
    ]
    assert core.uploads == [(2, {"checkpoints", "metrics.jsonl"})]


def test_what_came_before_the_checkpoint_was_reported(run: RunDirectory) -> None:
    for step in range(1, 5):
        add(run, step, 1.0)
    checkpoint.save(run.checkpoints, 2, {"any": 1})
    core = Core()
    watch = Watch(core, run, always)
    run.forget_after(2)
    add(run, 3, 1.0)
    watch.report()
    assert [step for _, step, _ in core.rows] == [3]
    assert core.uploads == []


def test_a_run_that_goes_back_reports_no_step_twice(run: RunDirectory) -> None:
    core = Core()
    watch = Watch(core, run, always)
    for step, loss in ((1, 1.0), (2, 2.0)):
        add(run, step, loss)
    watch.report()
    run.forget_after(1)
    for step, loss in ((2, 3.0), (3, 4.0)):
        add(run, step, loss)
    watch.report()
    assert [step for _, step, _ in core.rows] == [1, 2, 3]


def test_all_is_uploaded_when_training_is_over(run: RunDirectory) -> None:
    core = Core()
    with Watch(core, run, always):
        checkpoint.save(run.checkpoints, 2, {"any": 1})
        (run.path / "report.html").touch()
    assert core.uploads[-1] == (2, {"checkpoints", "report.html"})


def test_a_file_that_is_removed_meanwhile_is_waited_for(run: RunDirectory) -> None:
    core = Core()
    watch = Watch(core, run, always)
    checkpoint.save(run.checkpoints, 2, {"any": 1})
    removed = run.checkpoints / "step-00000001.safetensors"
    removed.symlink_to("nowhere")  # listed, and not there
    watch.report()
    assert core.uploads == []
    removed.unlink()
    watch.report()
    assert [step for step, _ in core.uploads] == [2]


def test_a_run_is_stopped_when_nobody_can_be_told(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(determined_trial, "_POLL_SECONDS", 0.01)
    core = Core()

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no master")

    monkeypatch.setattr(core, "report_training_metrics", fail)
    with (
        pytest.raises(ConnectionError, match="no master"),
        stopping_at_once(),
        Watch(core, run, always),
    ):
        add(run, 1, 0.5)
        time.sleep(60)


def wait_for_a_poll(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Return when Determined was asked twice more: all that follows the first answer was done."""
    asked = threading.Semaphore(0)
    answer = core.should_preempt

    def ask() -> bool:
        asked.release()
        return answer()

    monkeypatch.setattr(core, "should_preempt", ask)
    for _ in range(2):
        assert asked.acquire(timeout=60)


def test_several_processes_are_preempted_in_their_steps_only(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(determined_trial, "_POLL_SECONDS", 0.01)
    core = Core()
    core.preempts = True
    checkpoint.save(run.checkpoints, 2, {"any": 1})
    with stopping_at_once(), Watch(core, run, determined_trial._takes_steps) as watch:
        wait_for_a_poll(core, monkeypatch)
        assert not watch.is_preempted
        with StopSignals(repeat_seconds=5.0) as signals:
            while signals.received is None:
                time.sleep(0.01)
        assert watch.is_preempted
    assert signals.received == signal.SIGTERM


def test_one_process_is_preempted_wherever_it_is(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(determined_trial, "_POLL_SECONDS", 0.01)
    core = Core()
    core.preempts = True
    watch = Watch(core, run, always)
    with pytest.raises(StoppedAtOnceError), stopping_at_once(), watch:
        time.sleep(60)
    assert watch.is_preempted


def test_hyperparameters_are_overrides() -> None:
    train = {"optimizer": {"learning_rate": 1e-05}, "loss": "cross_entropy"}
    values = {"train": train, "run.seed": 3}
    words = dict(word.split("=", 1) for word in hyperparameter_words(values))
    assert {key: json.loads(text) for key, text in words.items()} == {
        "train.optimizer.learning_rate": 1e-05,
        "train.loss": "cross_entropy",
        "run.seed": 3,
    }
