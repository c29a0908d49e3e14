"""The rules that keep the project readable: imports run one way, entries stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from utils.storage import PROJECT

# Each part may import the parts that stand after it here, and nothing before it.
MAY_IMPORT = {
    "executor": {"model", "dataloader", "evaluation", "ops", "utils", "configs"},
    "model": {"ops", "utils", "configs"},
    "dataloader": {"ops", "utils", "configs"},
    "evaluation": {"ops", "utils", "configs"},
    "ops": {"utils", "configs"},
    "configs": {"utils"},
    "utils": set(),
}
FILES = sorted(f for part in MAY_IMPORT for f in (PROJECT / part).rglob("*.py"))
MAX_FUNCTION_LINES = 60


def imported_parts(path: Path) -> set[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return {name.split(".")[0] for name in names} & set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PROJECT).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    part = path.relative_to(PROJECT).parts[0]
    assert imported_parts(path) - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PROJECT).as_posix())
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, main\n"
        "with contextlib.suppress(SystemExit): main.main(['--help'])\n"
        "heavy = {'torch', 'tensorflow', 'numpy', 'pydantic', 'yaml', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
