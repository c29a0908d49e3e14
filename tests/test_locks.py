"""A project runs by uv as by pip, and its locks hold what it installs, with hashes."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import QUIET, Create, tool
from generate import REPOSITORY

LOCKS = ["requirements.lock", "requirements-dev.lock"]
LOCKED = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[^ ;\\]+)(?: ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def test_a_lock_holds_every_requirement_with_hashes_and_no_address(project: Path):
    for lock in LOCKS:
        first, command, *lines = (project / lock).read_text(encoding="utf-8").splitlines()
        assert first.startswith("# ")
        assert command.endswith(f" -o {lock} {lock.replace('.lock', '.txt')}")
        assert not {"index", "links", ":", "~"} & set(re.findall(r"index|links|[:~]", command))
        entries = [number for number, line in enumerate(lines) if LOCKED.fullmatch(line)]
        for start, end in itertools.pairwise([*entries, len(lines)]):
            hashes = lines[start + 1 : end]
            assert hashes, lines[start]
            assert all(map(HASH.fullmatch, hashes)), lines[start]
        locked = {tuple(LOCKED.fullmatch(lines[number]).groups()) for number in entries}
        assert pins(project, lock) <= locked


def pins(project: Path, lock: str) -> set[tuple[str, str]]:
    """Return what a lock must hold: the pins of the files of requirements that it is made of."""
    names = ["requirements.txt", lock.replace(".lock", ".txt")]
    lines = "\n".join((project / name).read_text(encoding="utf-8") for name in names).splitlines()
    found = [re.match(r"([\w.-]+)==([^ ;]+)", line) for line in lines]
    return {(match[1].lower(), match[2]) for match in found if match}


@pytest.mark.slow
def test_the_locks_are_those_of_the_requirements(create: Create, framework: str):
    project = create(framework=framework)
    workflow = yaml.safe_load((project / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for step in workflow["jobs"]["checks"]["steps"]]
    (line,) = [step for step in steps if "sed" in step]
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    subprocess.run(["git", "add", "--all"], cwd=project, check=True)

    def check() -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **of_uv(), "PATH": path}
        return subprocess.run(
            ["bash", "-ec", line], cwd=project, env=environment, capture_output=True, text=True
        )

    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    pinned = f"rich=={dict(pins(project, LOCKS[0]))['rich']}"
    replace(project / "requirements.txt", pinned, "rich==14.0.0")
    done = check()
    assert done.returncode == 1
    assert f"you require rich==14.0.0 and {pinned}" in done.stderr  # by pyproject.toml
    replace(project / "pyproject.toml", pinned, "rich==14.0.0")
    done = check()
    assert done.returncode == 1
    assert done.stdout.count("\n+rich==14.0.0 ") == len(LOCKS), done.stderr


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_can_be_installed(project: Path, lock: str, tmp_path: Path):
    # Looks at what the index has, no more: gigabytes would come otherwise.
    words = ["--dry-run", "--require-hashes", "--target", str(tmp_path), "-r", lock]
    said = tool(project, "uv", "pip", "install", *words, **of_uv())
    assert re.search(r"^Would install \d\d+ packages", said, re.MULTILINE), said


def pip_option(name: str) -> str:
    """Return what pip is configured to take for an option here, or nothing."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(rf"^\S+\.{name}='(.*)'$", listed, re.MULTILINE)
    return found[0] if found else ""


def of_uv(**more: str) -> dict[str, str]:
    """Return what uv needs to find the packages that pip finds, and to keep to this Python."""
    index = pip_option("index-url")
    return {
        "UV_CACHE_DIR": str(REPOSITORY / "build" / "uv"),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
        **({"UV_DEFAULT_INDEX": index} if index else {}),
        **more,
    }


@pytest.mark.slow
def test_uv_runs_a_new_project(create: Create, framework: str):
    project = create(framework=framework)
    # Without its own wheels of torch, if it has any, pip would take gigabytes as well.
    links = ",".join(pip_option("find-links").split())
    environment = {**QUIET, **of_uv(UV_FIND_LINKS=links)}
    command = ["run", "main.py", "train", "--config", "configs/debug.yaml"]
    tool(project, "uv", *command, **environment)
    metrics = json.loads((project / "runs" / "debug" / "metrics.json").read_text(encoding="utf-8"))
    assert 0 < metrics["mean_iou"] < 1
    assert (project / "uv.lock").is_file()
    tool(project, "uv", "sync", "--locked", "--check", **environment)
    of_project = ["--python", ".venv", "--format=json", "--quiet"]
    listed = json.loads(tool(project, "uv", "pip", "list", *of_project, **environment))
    # torch 2.13.0+cpu is a build of 2.13.0.
    installed = {one["name"].lower(): one["version"].partition("+")[0] for one in listed}
    expected = dict(pins(project, "requirements-dev.lock"))
    if sys.platform != "darwin":
        expected.pop("tensorflow", None)
    assert {name: installed.get(name) for name in expected} == expected
