"""Style, format and types of the template's sources where they lie, and what users inherit."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conftest import Create, framework_python, tool
from generate import REPOSITORY, TEMPLATE_FOLDER

NEWCOMER = REPOSITORY / "tests" / "newcomer"
STRICT = REPOSITORY / "tests" / "style.toml"
# A line of ruff or mypy with its rule: B006 or [assignment].
FINDING = re.compile(r"^[\w/]+\.py:\d+:(?:\d+: ([A-Z]+\d+) | error: .*(\[[\w-]+\])$)", re.MULTILINE)


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["style", "format"])
def test_the_sources_are_clean_where_they_lie(command: tuple[str, ...]):
    tool(REPOSITORY, "ruff", *command, "--no-cache", ".")


def test_the_style_of_what_is_generated():
    tool(REPOSITORY, "ruff", "check", "--no-cache", "--config", str(STRICT), TEMPLATE_FOLDER)


def test_the_types_of_the_template_s_own_code():
    tool(REPOSITORY, "mypy")


def test_no_line_of_the_template_s_settings_is_lost_in_a_project(project: Path):
    # In place, ruff reads the unrendered settings: they must be those that the project gets.
    source = (REPOSITORY / TEMPLATE_FOLDER / "pyproject.toml").read_text(encoding="utf-8")
    generated = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert of_ruff(source) == of_ruff(generated)
    assert "per-file-ignores" in of_ruff(source)


@pytest.fixture(scope="module")
def newcomer(create: Create) -> Path:
    """A project in PyTorch with nine working files of a newcomer, as they come."""
    return Path(shutil.copytree(NEWCOMER, create(framework="pytorch"), dirs_exist_ok=True))


def findings(folder: Path, program: str, *options: str) -> Counter[str]:
    """Count the findings of a tool by their rules."""
    command = [str(Path(sys.executable).with_name(program)), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    found = Counter("".join(rules) for rules in FINDING.findall(done.stdout))
    assert done.returncode == bool(found), done.stdout + done.stderr
    return found


def test_a_newcomer_s_files_get_few_findings_of_style(newcomer: Path):
    check = ("check", "--no-cache", "--output-format=concise")
    assert findings(newcomer, "ruff", *check) == {"B006": 2, "E711": 1, "E712": 1}
    assert findings(newcomer, "ruff", *check, "--config", str(STRICT)).total() > 100


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_users_inherit_gentle_checks_of_types(newcomer: Path, create: Create, framework: str):
    is_newcomer_s = framework == "pytorch"
    project = newcomer if is_newcomer_s else create(framework=framework)
    cache = REPOSITORY / "build" / f"mypy-users-{framework}"
    options = ["--cache-dir", str(cache), "--python-executable", str(framework_python(framework))]
    # The newcomer's one is in a method that states its types.
    expected = {"[assignment]": 1} if is_newcomer_s else {}
    assert findings(project, "mypy", *options) == expected


def of_ruff(settings: str) -> str:
    return settings[settings.index("[tool.ruff]") : settings.index("[tool.mypy]")]
