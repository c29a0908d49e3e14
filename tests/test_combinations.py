"""Every combination of choices: the right tree, valid files, clean style and types.

The tests that come with a project are not run once more for each: all that they and the program
read is, byte for byte, what `test_generated_tests.py` runs them on, but for the oldest Python in
pyproject.toml. That is held here.
"""

import itertools
import tomllib
from pathlib import Path
from typing import Any

import pytest

from answers import CHOICES
from conftest import Create
from kept import assert_parses
from strict import check_style, check_types

COMBINATIONS = list(itertools.product(*CHOICES.values()))
# What may differ between two projects of one framework. Code, settings and tests are not among it.
ANSWERED = {
    *(".devcontainer/devcontainer.json", ".python-version", "CITATION.cff", "Dockerfile"),
    *("LICENSE", "README.md", "pyproject.toml"),
}


def contents(project: Path) -> dict[str, bytes]:
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and not path.parent.name.startswith("__")
    }


def about(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("framework", "license_", "version"), COMBINATIONS)
def test_a_combination(create: Create, framework: str, license_: str, version: str):
    default = create(framework=framework)
    project = create(framework=framework, license=license_, python_version=version)
    expected, found = contents(default), contents(project)
    assert set(found) == set(expected) - ({"LICENSE"} if license_ == "none" else set())
    assert {name for name, text in found.items() if text != expected[name]} <= ANSWERED
    assert about(project)["tool"] == about(default)["tool"]
    assert_parses(project)
    check_style(project)


@pytest.mark.slow
def test_the_types_of_a_framework(project: Path, framework: str):
    # No other choice changes what mypy reads: that is held above.
    check_types(project, framework)
