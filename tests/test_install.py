"""A flat project becomes an installable package as its pages say, with nothing moved."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import QUIET, Create, in_one_framework, tool
from readme import blocks, pages, section


@pytest.mark.slow
@in_one_framework
def test_a_project_is_installed_and_trains_from_anywhere(
    create: Create, python: Path, framework: str, tmp_path: Path
):
    slug, package = "road-signs", "road_signs"  # a hyphen is the harder case
    project = create(framework=framework, project_slug=slug)
    (code, settings) = blocks(section(pages(project), "Install it as a command"))
    assert (code.language, settings.language) == ("python", "toml")
    (project / "command.py").write_text(code.text, encoding="utf-8")
    about = project / "pyproject.toml"
    text, times = re.subn(
        r"\[tool\.setuptools\]\n.*?(?=^\[)",
        lambda _: f"{settings.text}\n",
        about.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    assert times == 1
    about.write_text(text, encoding="utf-8")
    tool(project, "ruff", "check", "--no-cache", ".")
    tool(project, "ruff", "format", "--check", "--no-cache", ".")

    site = tmp_path / "site"
    # In the tests' own environment: a framework's need not have pip.
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", site]
    subprocess.run([*install, project], check=True)
    top = {path.name for path in site.iterdir()}
    assert {"bin", package} < top
    assert not {"model", "utils", "configs"} & top  # names that are anybody's

    words = [f"run.dir={tmp_path / 'run'}", "run.tensorboard=false"]
    config = site / package / "configs" / "debug.yaml"
    done = subprocess.run(
        [python, site / "bin" / slug, "train", "--config", config, *words],
        cwd=tmp_path,
        env={**os.environ, **QUIET, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads((tmp_path / "run" / "metrics.json").read_text())["mean_iou"] < 1
