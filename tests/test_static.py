"""Style, format and types: of the template's sources where they lie, and of what is generated."""

import subprocess
import sys
from pathlib import Path

import pytest

from generate import REPOSITORY, TEMPLATE_FOLDER


def tool(folder: Path, *arguments: str) -> None:
    """Run a tool of the template's own environment in a folder; what it says is the failure."""
    result = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 0, f"\n{result.stdout}{result.stderr}"


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["style", "format"])
def test_the_sources_are_clean_where_they_lie(command: tuple[str, ...]):
    tool(REPOSITORY, "ruff", *command, "--no-cache", ".")


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["style", "format"])
def test_the_generated_project_is_clean(project: Path, command: tuple[str, ...]):
    tool(project, "ruff", *command, "--no-cache", ".")


def test_the_types_of_the_template_s_own_code():
    tool(REPOSITORY, "mypy")


@pytest.mark.slow
def test_the_types_of_the_generated_project(project: Path, python: Path, framework: str):
    # A code file is the same bytes in the template, so this checks the sources as well.
    cache = REPOSITORY / "build" / f"mypy-{framework}"
    tool(project, "mypy", "--python-executable", str(python), "--cache-dir", str(cache))


def test_no_line_of_the_template_s_settings_is_lost_in_a_project(project: Path):
    # In place, ruff reads the unrendered settings: they must be those that the project gets.
    source = (REPOSITORY / TEMPLATE_FOLDER / "pyproject.toml").read_text(encoding="utf-8")
    generated = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert of_ruff(source) == of_ruff(generated)
    assert "per-file-ignores" in of_ruff(source)


def of_ruff(settings: str) -> str:
    return settings[settings.index("[tool.ruff]") : settings.index("[tool.mypy]")]
