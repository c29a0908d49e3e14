"""Style, format and types of the template's sources where they lie."""

from pathlib import Path

import pytest

from conftest import tool
from generate import REPOSITORY, TEMPLATE_FOLDER


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["style", "format"])
def test_the_sources_are_clean_where_they_lie(command: tuple[str, ...]):
    tool(REPOSITORY, "ruff", *command, "--no-cache", ".")


def test_the_types_of_the_template_s_own_code():
    tool(REPOSITORY, "mypy")


def test_no_line_of_the_template_s_settings_is_lost_in_a_project(project: Path):
    # In place, ruff reads the unrendered settings: they must be those that the project gets.
    source = (REPOSITORY / TEMPLATE_FOLDER / "pyproject.toml").read_text(encoding="utf-8")
    generated = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert of_ruff(source) == of_ruff(generated)
    assert "per-file-ignores" in of_ruff(source)


def of_ruff(settings: str) -> str:
    return settings[settings.index("[tool.ruff]") : settings.index("[tool.mypy]")]
