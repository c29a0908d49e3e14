"""The generated tree: exactly the files that are promised, with nothing of the template left."""

import ast
import filecmp
import itertools
import re
import tomllib
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
import yaml

from answers import CHOICES, NEEDS, PARTS
from conftest import FRAMEWORKS, TASKS, Create
from generate import TEMPLATE_FOLDER, generate
from kept import assert_parses

PROJECTS = list(itertools.product(FRAMEWORKS, TASKS))
WITH_PART = [
    (*chosen, part)
    for chosen in PROJECTS
    for part in ("none", *PARTS)
    if part not in NEEDS or NEEDS[part][1] in chosen
]
# What a person is told to find beside main.py, written down so that it cannot vanish by accident.
ROOMS = {"configs", "dataloader", "evaluation", "executor", "model", "notebooks", "ops", "utils"}
PROMISED = {
    *(".dockerignore", ".editorconfig", ".gitignore", ".pre-commit-config.yaml", ".python-version"),
    *(".github/dependabot.yml", ".github/workflows/ci.yml", "Dockerfile", "LICENSE", "README.md"),
    *("configs/debug.yaml", "configs/default.yaml", "configs/oxford_pets.yaml", "main.py"),
    *("notebooks/01_explore_data.ipynb", "notebooks/02_inspect_run.ipynb"),
    *("pyproject.toml", "requirements-dev.lock", "requirements-dev.txt"),
    *("requirements.lock", "requirements.txt"),
    *(".devcontainer/devcontainer.json", "CITATION.cff", "SECURITY.md"),
}
WINDOWS_FORBIDDEN = set('<>:"|?*\\')
WINDOWS_DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{p}{n}" for p in ("com", "lpt") for n in "0123456789"),
}
# Jinja's marks, and names that only the template knows.
MARKS = ("cookiecutter", "{{", "{%", "{#", "#%", "_parts")


def files(folder: Path) -> set[str]:
    """List every file under a folder by its path from there, but for what tools leave behind."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.endswith("_cache") or part == "__pycache__" for part in path.parts)
    }


def conditions(folder: Path) -> dict[str, set[str]]:
    """Return what a folder's name asks for: questions with answers, one of which is needed."""
    pairs = (condition.split("=") for condition in folder.name.split(","))
    return {question: set(answers.split("+")) for question, answers in pairs}


def laid(template: Path, framework: str, task: str, *parts: str) -> list[Path]:
    """Return the folders of `_parts/` that belong to a project."""
    answers = {"framework": {framework}, "task": {task}, "part": set(parts)}
    return [
        folder
        for folder in sorted((template / TEMPLATE_FOLDER / "_parts").glob("*/"))
        if all(wanted & answers[question] for question, wanted in conditions(folder).items())
    ]


def shared(template: Path) -> set[str]:
    """List the files that every project has."""
    return {name for name in files(template / TEMPLATE_FOLDER) if not name.startswith("_parts/")}


def sources(template: Path, framework: str, task: str, *parts: str) -> dict[str, Path]:
    """Map each path of a generated project to the template's file that it comes from."""
    found = {name: template / TEMPLATE_FOLDER / name for name in shared(template)}
    for folder in laid(template, framework, task, *parts):
        new = {name: folder / name for name in files(folder)}
        assert not new.keys() & found.keys(), f"{folder.name} holds what another folder has"
        found |= new
    return found


@pytest.mark.parametrize(("framework", "task"), PROJECTS)
def test_a_project_has_the_files_of_the_parts_that_were_asked_for(
    template: Path, create: Create, framework: str, task: str
):
    answers = {None, ("framework", framework), ("task", task)}
    offered = [part for part in PARTS if NEEDS.get(part) in answers]
    default = [part for part in offered if part == "oxford_pets"]
    for parts, names in (({}, default), ({"parts": "all"}, offered), ({"parts": "none"}, [])):
        project = create(framework=framework, task=task, **parts)
        assert files(project) == set(sources(template, framework, task, *names))


def test_every_folder_of_parts_can_be_asked_for_and_has_files(template: Path):
    named: dict[str, set[str]] = {"framework": set(), "task": set(), "part": set()}
    for folder in (template / TEMPLATE_FOLDER / "_parts").glob("*/"):
        assert files(folder), folder.name
        for question, answers in conditions(folder).items():
            named[question] |= answers
    assert named == {"framework": set(FRAMEWORKS), "task": set(TASKS), "part": set(PARTS)}


def imported(path: Path) -> set[str]:
    """Return the project's own modules and names that a file imports, as "room.module.name"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] in ROOMS}


@pytest.mark.parametrize(("framework", "task", "part"), WITH_PART)
def test_a_project_has_what_its_files_import(template: Path, framework: str, task: str, part: str):
    tree = sources(template, framework, task, part)
    modules = {name.removesuffix(".py").replace("/", ".") for name in tree if name.endswith(".py")}
    modules = {name.removesuffix(".__init__") for name in modules}
    assert "executor.training.trainer" in modules
    for name, path in tree.items():
        if name.endswith(".py"):
            # What is imported is a module, or a name in one.
            assert {
                m for m in imported(path) if not {m, m.rpartition(".")[0]} & modules
            } == set(), name


@pytest.mark.parametrize(("framework", "task"), PROJECTS)
def test_rooms_are_small(create: Create, framework: str, task: str):
    # The project's own tests allow more, so that there is room for what users add.
    project = create(framework=framework, task=task, parts="all")
    modules = [path for path in project.rglob("*.py") if path.name != "__init__.py"]
    rooms = Counter(path.parent.relative_to(project).as_posix() for path in modules)
    assert len(rooms) >= 20
    assert {room: count for room, count in rooms.items() if count > 12} == {}


def test_the_tree_holds_what_is_promised(project: Path):
    assert files(project) >= PROMISED
    assert {path.name for path in project.iterdir() if path.is_dir()} == ROOMS | {
        ".devcontainer",
        ".github",
        "docs",
        "tests",
    }


def test_code_and_notebooks_are_the_template_s_bytes(template: Path, whole: Path, framework: str):
    for name, source in sources(template, framework, TASKS[0], *PARTS).items():
        if PurePosixPath(name).suffix in {".py", ".ipynb", ".yaml", ".yml", ".png"}:
            assert filecmp.cmp(source, whole / name, shallow=False), name


def test_the_code_holds_no_jinja(template: Path):
    for name in files(template / TEMPLATE_FOLDER):
        if name.endswith(".py"):
            text = (template / TEMPLATE_FOLDER / name).read_text(encoding="utf-8")
            assert "cookiecutter" not in text, name


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("license_", CHOICES["license"])
def test_nothing_of_the_template_is_left(create: Create, framework: str, license_: str, task: str):
    project = create(framework=framework, task=task, license=license_, parts="all")
    for name in files(project):
        assert "{" not in name, name
        if PurePosixPath(name).suffix not in {".py", ".ipynb", ".png"}:
            text = (project / name).read_text(encoding="utf-8")
            # A workflow's own ${{ }} is not Jinja.
            marks = MARKS if not name.startswith(".github/") else ("cookiecutter", "{%", "#%")
            assert [mark for mark in marks if mark in text] == [], name
            assert text.endswith("\n"), name
            assert not text.endswith("\n\n"), name
            assert not text.startswith("\n"), name


def test_every_format_parses(whole: Path):
    assert_parses(whole)


def test_the_unrendered_toml_parses_too(template: Path):
    # The tools read it when they run on the template in place.
    text = (template / TEMPLATE_FOLDER / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["project"]["name"] == "project"


def test_every_name_is_allowed_on_windows(template: Path, whole: Path):
    for tree in (template, whole):
        names = files(tree)
        for name in names:
            for part in PurePosixPath(name).parts:
                assert not WINDOWS_FORBIDDEN & set(part), name
                assert part.split(".")[0].lower() not in WINDOWS_DEVICES, name
                assert not part.endswith((".", " ")), name
        assert len({name.lower() for name in names}) == len(names)
        assert max(map(len, names)) < 120  # of the 260 that a path may have


@pytest.mark.parametrize(
    ("license_", "opening"),
    [
        ("MIT", "MIT License\n\nCopyright (c) Your Name\n"),
        ("BSD-3-Clause", "BSD 3-Clause License\n\nCopyright (c) Your Name\n"),
        ("Apache-2.0", " " * 33 + "Apache License\n"),
        ("none", None),
    ],
)
def test_the_licence_is_the_chosen_one(create: Create, license_: str, opening: str | None):
    project = create(license=license_)
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    docker = (project / "Dockerfile").read_text(encoding="utf-8")
    if opening is None:
        assert not (project / "LICENSE").exists()
        assert "license" not in about
        assert "licenses" not in docker
    else:
        text = (project / "LICENSE").read_text(encoding="utf-8")
        assert text.startswith(opening)
        assert "Your Name" in text
        assert about["license"] == license_
        assert f'licenses="{license_}"' in docker


@pytest.mark.parametrize("version", CHOICES["python_version"])
def test_the_python_version_is_the_same_everywhere(create: Create, version: str):
    project = create(python_version=version)
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["requires-python"] == f">={version}"
    assert (project / ".python-version").read_text(encoding="utf-8") == f"{version}\n"
    assert f"FROM python:{version}-slim\n" in (project / "Dockerfile").read_text(encoding="utf-8")


def test_the_same_answers_give_the_same_bytes(
    template: Path, project: Path, framework: str, tmp_path: Path
):
    again = generate(template, tmp_path, framework=framework)
    assert files(again) == files(project)
    for name in files(project):
        assert filecmp.cmp(project / name, again / name, shallow=False), name


def requirements(path: Path) -> dict[str, str]:
    """Read the pins of a requirements file."""
    lines = [line.partition(" ;")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    return dict(line.lower().split("==") for line in lines if "==" in line)


def named(ranges: list[str]) -> set[str]:
    """Take the names of the packages from ranges such as "numpy>=2.0,<3"."""
    return {re.split("[<>=]", one)[0].lower() for one in ranges}


# What a framework brings: pinned, but no dependency of its own.
PINNED_BESIDE = {"pytorch": set(), "tensorflow": {"keras"}}


def test_pins_and_ranges_name_the_same_packages(project: Path, framework: str):
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    ranges, groups = about["project"]["dependencies"], about["dependency-groups"]
    pins = requirements(project / "requirements.txt")
    assert set(pins) == named([*ranges, *groups["sample"]]) | PINNED_BESIDE[framework]
    assert len({name.removesuffix("-cpu") for name in named(ranges)}) <= 11


def test_uv_takes_the_versions_that_pip_takes(project: Path):
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    groups, constraints = about["dependency-groups"], about["tool"]["uv"]["constraint-dependencies"]
    tested = [pin.lower().split("==") for pin in [*constraints, *groups["sample"]]]
    assert dict(tested) == requirements(project / "requirements.txt")
    tools = dict(pin.lower().split("==") for pin in groups["dev"])
    assert tools == requirements(project / "requirements-dev.txt")


def test_one_version_of_each_tool_checks_everything(template: Path, project: Path):
    versions = requirements(template / "requirements-dev.txt")
    for name in ("ruff", "uv"):
        assert requirements(project / "requirements-dev.txt")[name] == versions[name]
    for folder in (template, project):
        hooks = yaml.safe_load((folder / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
        needed = [hook["additional_dependencies"] for hook in hooks["repos"][0]["hooks"]]
        pins = dict(pin.split("==") for pins in needed for pin in pins)
        del pins["pre-commit-hooks"]  # of no use outside of hooks
        assert pins == {name: versions[name] for name in ("ruff", "codespell", "detect-secrets")}
