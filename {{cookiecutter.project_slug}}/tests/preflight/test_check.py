"""`main.py check` finds nothing in a sound project, and each fault that is planted."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.loading import load_config
from dataloader.build import open_source
from executor.preflight import checklist as checks
from executor.preflight import packages
from main import main
from utils.names import resolve
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")
NO_PACKAGES = "no-such-package-of-this-name==1.0\n"


Network: Any = resolve(load_config(TINY).model.target)


class Forgetful(Network):  # type: ignore[misc, unused-ignore]
    """Each one made multiplies its outputs by another number, which no saved state holds."""

    made = 0

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels, widths=(4,))
        Forgetful.made += 1
        self.factor = 1.0 + Forgetful.made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs) * self.factor


def failing(counts: Any, names: tuple[str, ...]) -> Any:
    """A metric with a mistake in it."""
    yield "failing", 1 / (len(names) - len(names))


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name by which a configuration finds what is in this file."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(sys.modules, "test_check", sys.modules[__name__])
    return "test_check"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    main(["train", "--config", TINY, f"run.dir={run}", "run.tensorboard=false"])
    return run


def test_a_sound_project_is_ok_in_every_line(check: Any, tmp_path: Path) -> None:
    lines = check("train.ema_decay=0.9", "model.dropout=0.2", "train.optimizer.learning_rate=0.1")
    assert {line[:5] for line in lines} <= {"ok   ", "warn "}
    told = {line[5:].partition(":")[0]: line.partition(": ")[2] for line in lines}
    assert {"python", "packages", "configuration", "device", "model", "equal bits"} <= set(told)
    assert " samples" in told["train data"]
    assert all(f"{name} " in told["source"] for name in open_source(load_config(TINY).data).spec)
    assert told["task"].startswith("evaluation.task:Task, samples ")
    assert "accuracy" in told["validation batch"]
    assert "same losses" in told["continuation"]
    assert "a new run" in told["run.dir"]
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_where_a_run_is(check: Any, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    told = check("run.tensorboard=false")
    assert any("to be continued after step 4" in line for line in told)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_model_that_does_not_save_all_it_needs_is_found(refused: Any, planted: str) -> None:
    (line,) = refused(f"model={{target: '{planted}:Forgetful'}}")
    assert line.startswith("bad  continuation: step 2 gave loss")
    assert "is not in its saved state" in line


def test_a_metric_that_fails_and_a_full_disk_are_both_found(
    refused: Any, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1000})())
    metric, disk = refused(f"train.metrics=[accuracy, '{planted}:failing']")
    assert metric.startswith("bad  validation batch: ")
    assert "ZeroDivisionError" in metric
    assert disk.startswith("bad  free disk space: ")


def test_a_monitor_that_no_metric_yields_is_found(refused: Any) -> None:
    (line,) = refused("train.monitor=qualitee")
    assert "is not among the values of an evaluation" in line


def test_a_learning_rate_that_diverges_is_found(refused: Any) -> None:
    lines = refused("train.optimizer.learning_rate=1e30", "train.schedule=constant")
    assert lines
    assert "gave loss" in lines[0] or "differ" in lines[0]


def test_a_run_with_another_configuration_is_found(
    refused: Any, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (line,) = refused("train.batch_size=8")  # all else is checked, and sound
    assert line.startswith("bad  run.dir: ")


def test_a_mistake_in_the_configuration_is_found(refused: Any) -> None:
    (line,) = refused("train.epoch=3")
    assert line.startswith("bad  configuration: ")


def test_state_that_comes_back_changed_is_found(
    refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executor.training.state import TrainState

    load = TrainState.load_state_dict

    def forget(self: TrainState, state: dict[str, Any]) -> None:
        load(self, {**state, "loop_state": {**state["loop_state"], "sample_offset": 0}})

    monkeypatch.setattr(TrainState, "load_state_dict", forget)
    first, second = refused()
    assert first.startswith("bad  equal bits: 1 of ")
    assert "/loop_state/sample_offset" in first
    assert second.startswith("bad  continuation: ")


@pytest.fixture
def installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Return a function that checks the packages against a requirements file."""
    monkeypatch.setattr("utils.storage.PROJECT", tmp_path)

    def run(text: str, about: str = "") -> tuple[list[str], int]:
        (tmp_path / "requirements.txt").write_text(text)
        (tmp_path / "pyproject.toml").write_text(about)
        found = checks.Checks()
        packages.check_installed(found)
        return capsys.readouterr().out.splitlines(), found.bad

    return run


def test_a_missing_package_is_bad_and_another_version_a_warning(installed: Any) -> None:
    lines, bad = installed(f"# needed\nnumpy=={np.__version__}\npillow  # any\n")
    assert bad == 0
    assert lines[1] == "ok   packages: all 2 of requirements.txt are installed"
    assert len(lines) == 2
    lines, bad = installed("numpy==1.0 ; sys_platform != 'none'\n")
    assert bad == 0
    assert f"warn versions: other than in requirements.txt: numpy {np.__version__}" in lines[2]
    lines, bad = installed(NO_PACKAGES + "numpy\n")
    assert bad == 1
    assert lines[1].startswith("bad  packages: not installed: no-such-package-of-this-name.")


def test_lines_for_other_machines_do_not_count(installed: Any) -> None:
    lines, bad = installed(
        "-r other.txt\nhttps://host/file.whl\nnumpy[extra]>=1\n"
        f'none-such==1.0 ; sys_platform == "no{sys.platform}"\n'
        f"none-such-either==1.0 ; sys_platform != '{sys.platform}'\n"
    )
    assert "all 1 of" in lines[1]
    assert bad == 0


def test_another_build_of_a_package_counts(installed: Any) -> None:
    lines, bad = installed(f"numpy-cpu=={np.__version__}\n")
    assert (len(lines), bad) == (2, 0)


def test_a_build_of_the_tested_version_counts(
    installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "version", lambda name: "2.13.0+cpu")
    assert installed("torch==2.13.0\ntorch>=2.8\n")[0][2:] == []
    assert "torch 2.13.0+cpu (tested: ==2.13.0+cu126)" in installed("torch==2.13.0+cu126\n")[0][2]


def test_without_anything_to_read_requirements_the_first_package_is_named(
    installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    lines, bad = installed("numpy\n")
    assert bad == 1
    assert lines[1].startswith("bad  packages: not installed: packaging. Install them: ")


def test_python_that_is_too_old_is_bad(installed: Any) -> None:
    lines, bad = installed("numpy\n", '[project]\nrequires-python = ">=3.99"\n')
    assert bad == 1
    assert lines[0].startswith("bad  python: ")
    assert ">=3.99" in lines[0]


def test_a_folder_that_takes_no_files_is_found(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (line,) = refused(f"run.dir={tmp_path / 'file' / 'run'}")
    assert "run.dir: " in line
    assert "nothing can be written there" in line
