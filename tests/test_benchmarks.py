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
    "unet": {f"step.unet-0.5M.{kind}" for kind in ("bf16", "fp32", "defaults")},
    "tiny": {f"step.tiny.{kind}" for kind in ("bare", "bare-no-item", "bare-fused", "plain")},
    "data": {"data.first-epoch", "data.later-epoch"},
    "first-step": {"startup.first-step"},
    "answers": {"startup.help", "startup.config"},
    "accuracy": {"accuracy.bf16"},
}


@pytest.fixture(scope="module")
def pytorch_project(create: Create) -> Path:
    return create(framework="pytorch")


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = REPOSITORY / "benchmarks" / "run.py"
    environment = {**os.environ, **QUIET}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_reports_every_comparison(suite: str, pytorch_project: Path, tmp_path: Path):
    output = tmp_path / "benchmarks.json"
    python = str(framework_python("pytorch"))
    places = ("--project", str(pytorch_project), "--python", python, "--output", str(output))
    result = run_benchmarks("--quick", suite, *places)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["machine"]["quick"] is True
    assert report["machine"]["cores"] >= 1
    rows = {row["name"]: row for row in report["results"]}
    assert set(rows) == SUITES[suite]
    for name, row in rows.items():
        assert row["meaning"] and row["details"]
        assert isinstance(row["value"], float)
        assert row["holds"] is None if row["limit"] is None else isinstance(row["holds"], bool)
        assert name in result.stdout  # the table


def test_an_unknown_suite_is_refused():
    result = run_benchmarks("no-such-suite")
    assert result.returncode != 0
    assert "no-such-suite" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_others_need_their_interpreter():
    result = run_benchmarks("others-step")
    assert result.returncode != 0
    assert "--others" in result.stderr
