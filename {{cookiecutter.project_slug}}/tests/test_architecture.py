"""The rules that keep the project readable: imports run one way, rooms and entries stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from utils.storage import PROJECT

# Each room may import the rooms that stand after it here, and nothing before it.
ORDER = (
    "executor.commands",
    *("executor.preflight", "executor.launch"),
    "executor.training",
    "executor.inference",
    "executor.checkpoints",
    "executor.devices",
    *("executor.distributed", "executor.runs"),
    *("evaluation", "dataloader"),
    *("model", "ops"),
    "configs",
    "utils",
)
# Rooms beside each other, of which neither imports the other.
BESIDE = {
    frozenset({"executor.preflight", "executor.launch"}),
    frozenset({"executor.distributed", "executor.runs"}),
    frozenset({"evaluation", "dataloader"}),
    frozenset({"model", "dataloader"}),
    frozenset({"model", "evaluation"}),
}
FRAMEWORKS = {"torch", "tensorflow", "keras"}
# The project came with at most 12 files a room: the rest is for yours.
MAX_FILES, MAX_FILE_LINES, MAX_FUNCTION_LINES = 20, 250, 60
PARTS = sorted({room.split(".")[0] for room in ORDER})
FILES = sorted(f for part in PARTS for f in (PROJECT / part).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def room_of(module: str) -> str | None:
    """Return the room that a module belongs to; None: it is no module of the project."""
    return next((room for room in ORDER if f"{module}.".startswith(f"{room}.")), None)


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    own = room_of(name_of(path).removesuffix(".py").replace("/", "."))
    if own is None:  # executor/__init__.py
        return
    rooms = {room for module in imported(path) if (room := room_of(module))} - {own}
    before = {room for room in rooms if ORDER.index(room) < ORDER.index(own)}
    assert not before, f"{own} comes after {', '.join(before)}"
    assert not {room for room in rooms if frozenset({own, room}) in BESIDE}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_is_imported_in_a_circle(path: Path) -> None:
    def reached(module: str, seen: set[str]) -> set[str]:
        file = PROJECT / (module.replace(".", "/") + ".py")
        if module not in seen and file.is_file():
            seen.add(module)
            for inner in at_the_top(file):
                reached(inner, seen)
        return seen

    own = name_of(path).removesuffix(".py").replace("/", ".")
    others: set[str] = set()
    for module in at_the_top(path):
        reached(module, others)
    assert own not in others


def at_the_top(path: Path) -> set[str]:
    """Return what a file imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module for module in found if room_of(module)}


@pytest.mark.parametrize("path", [f for f in FILES if f.name == "__init__.py"], ids=name_of)
def test_no_package_imports_a_framework(path: Path) -> None:
    assert not {module.split(".")[0] for module in imported(path)} & FRAMEWORKS


def test_rooms_are_small() -> None:
    rooms: dict[Path, int] = {}
    for path in FILES:
        if path.name != "__init__.py":
            rooms[path.parent] = rooms.get(path.parent, 0) + 1
    assert {name_of(room): count for room, count in rooms.items() if count > MAX_FILES} == {}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_main_is_short() -> None:
    assert (PROJECT / "main.py").read_text(encoding="utf-8").count("\n") <= 50


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, main\n"
        "with contextlib.suppress(SystemExit): main.main(['--help'])\n"
        "heavy = {'torch', 'tensorflow', 'numpy', 'pydantic', 'yaml', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
