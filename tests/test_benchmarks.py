"""The benchmarks run and say what they promise; how fast anything is, is not asked here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import QUIET, Create, framework_python
from generate import REPOSITORY

SUITES = {
    "pytorch": {
        "unet": {f"step.unet-0.5M.{kind}" for kind in ("bf16", "fp32", "defaults")},
        "tiny": {
            f"step.tiny.{kind}"
            for kind in ("bare", "bare-no-item", "bare-fused", "plain", "arithmetic", "own")
        },
        "data": {"data.first-epoch", "data.later-epoch"},
        "many-files": {"files.first-step"},
        "predict": {"predict.speed"},
        "accuracy": {"accuracy.bf16"},
        "gpu": {
            f"gpu.{data}.{what}" for data in ("sample", "pets") for what in ("speed", "memory")
        },
        "first-step": {"startup.first-step"},
        # The same code for every framework: once is enough.
        "answers": {"startup.help", "startup.config"},
        "scaling": {"scaling.two-processes"},
    },
    "tensorflow": {
        "unet": {f"step.unet-0.5M.{kind}" for kind in ("bf16", "fp32")},
        "tiny": {f"step.tiny.{kind}" for kind in ("bare", "fit")},
        "accuracy": {"accuracy.mean-iou", "accuracy.cpu"},
        "frameworks": {"frameworks.mean-iou"},
        "first-step": {"startup.first-step"},
    },
}
CASES = [(framework, suite) for framework, suites in SUITES.items() for suite in suites]


@pytest.fixture(scope="module")
def projects(create: Create) -> dict[str, Path]:
    return {framework: create(framework=framework) for framework in SUITES}


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = REPOSITORY / "benchmarks" / "run.py"
    environment = {**os.environ, **QUIET}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "suite"), CASES)
def test_a_suite_reports_every_comparison(
    framework: str, suite: str, projects: dict[str, Path], tmp_path: Path
):
    assert all(map(framework_python, SUITES))  # `frameworks` needs both
    output = tmp_path / "benchmarks.json"
    places = ("--project", str(projects[framework]), "--output", str(output))
    result = run_benchmarks("--quick", suite, "--framework", framework, *places)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["machine"]["quick"] is True
    assert report["machine"]["cores"] >= 1
    rows = {row["name"]: row for row in report["results"]}
    assert set(rows) == SUITES[framework][suite]
    for name, row in rows.items():
        assert row["meaning"] and row["details"]
        assert isinstance(row["value"], float)
        assert row["holds"] is None if row["limit"] is None else isinstance(row["holds"], bool)
        assert name in result.stdout  # the table


@pytest.mark.parametrize(
    ("framework", "suite"), [("pytorch", "no-such-suite"), ("tensorflow", "others-step")]
)
def test_an_unknown_suite_is_refused(framework: str, suite: str):
    result = run_benchmarks(suite, "--framework", framework)
    assert result.returncode != 0
    assert f"{suite} for {framework}" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_others_need_their_interpreter():
    result = run_benchmarks("others-step")
    assert result.returncode != 0
    assert "--others" in result.stderr


def test_a_gpu_is_measured_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # hides what there is
    result = run_benchmarks("gpu")
    assert result.returncode != 0
    assert result.stderr.strip() == (
        "There is no GPU here that PyTorch finds; --quick shows that it would run."
    )
