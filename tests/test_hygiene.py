"""The hygiene of a project and of the template: workflows, image, spelling, secrets, hooks, forms.

Each check is tried on a planted fault as well: one that finds nothing might look at nothing. All
work offline but the slow ones, which install the hooks from the package index.
"""

import base64
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from answers import CHOICES
from conftest import FRAMEWORKS, Create, tool
from generate import REPOSITORY, TEMPLATE_FOLDER

# The schemas come with the tool.
FORMS = [
    (".github/workflows/*.yml", "vendor.github-workflows"),
    (".github/workflows/*.yml", "custom.github-workflows-require-timeout"),
    (".github/dependabot.yml", "vendor.dependabot"),
    ("CITATION.cff", "vendor.citation-file-format"),
]
CI = ".github/workflows/ci.yml"
DEPENDABOT = ".github/dependabot.yml"
# In two parts, or the template's own hooks would find them here.
AWS_KEY = "AKIA" + "Q3EGRZ7TMXBN5WPD"
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"
MISSPELT = "wro" + "ld"
AWKWARD = 'O\'Brien "says" \\n # é 漢字 🚀 $HOME `ls` <b>&amp; : - * [x](y) %d {1}'

Hook = dict[str, Any]
Check = Callable[[Path], None]


@pytest.fixture(scope="session", params=["template", *FRAMEWORKS])
def tree(request: pytest.FixtureRequest, template: Path, create: Create) -> Path:
    """The template's own repository, then a new project of each framework; not to be changed."""
    return template if request.param == "template" else create(framework=request.param)


@pytest.fixture(scope="session")
def untouched(create: Create) -> Path:
    return create()


@pytest.fixture
def copy(untouched: Path, tmp_path: Path) -> Path:
    """A project to change."""
    return copied(untouched, tmp_path / "copy")


def copied(source: Path, folder: Path) -> Path:
    """Copy a tree without what tools left in it."""
    ignored = shutil.ignore_patterns("*_cache", "__pycache__")
    return Path(shutil.copytree(source, folder, ignore=ignored))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def hooks(folder: Path) -> list[Hook]:
    (local,) = read(folder / ".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    return list(local["hooks"])


def run_hook(folder: Path, name: str) -> None:
    """Run a hook's own command on every file that is text."""
    (hook,) = (hook for hook in hooks(folder) if hook["id"] == name)
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".png")
    names = sorted(path.relative_to(folder).as_posix() for path in found)
    tool(folder, *shlex.split(hook["entry"]), *hook.get("args", []), *names)


def check_workflows(folder: Path) -> None:
    # Any finding is a failure, also one that only informs.
    options = ["--offline", "--persona=auditor", "--no-ignores", "--strict-collection"]
    tool(folder, "zizmor", *options, "--no-progress", ".")


def check_forms(folder: Path) -> None:
    for pattern, schema in FORMS:
        if paths := [str(path.relative_to(folder)) for path in folder.glob(pattern)]:
            tool(folder, "check-jsonschema", "--builtin-schema", schema, *paths)


def check_image(folder: Path) -> None:
    tool(folder, "hadolint", "--failure-threshold=style", "--disable-ignore-pragma", "Dockerfile")


def check_spelling(folder: Path) -> None:
    run_hook(folder, "spelling")


def check_secrets(folder: Path) -> None:
    run_hook(folder, "secrets")


@pytest.mark.parametrize("check", [check_workflows, check_forms, check_spelling, check_secrets])
def test_nothing_is_found(tree: Path, check: Check):
    check(tree)


def test_nothing_is_found_in_the_image(project: Path):
    check_image(project)


PLANTED = [
    (check_workflows, CI, "permissions: {}\n", "", "excessive-permissions"),
    (check_workflows, CI, "credentials: false", "credentials: true", "artipacked"),
    (check_workflows, CI, "run: mypy", "run: mypy ${{ github.head_ref }}", "template-injection"),
    (check_workflows, DEPENDABOT, "default-days: 7", "default-days: 0", "dependabot-cooldown"),
    (check_forms, CI, "runs-on:", "runs_on:", "runs_on"),
    (check_forms, CI, "    timeout-minutes: 30\n", "", "timeout-minutes"),
    (check_forms, DEPENDABOT, "interval: weekly", "interval: sometimes", "sometimes"),
    (check_forms, "CITATION.cff", "title:", "name:", "'title' is a required property"),
    (check_image, "Dockerfile", "USER 1000", "USER root", "DL3002"),
    (check_image, "Dockerfile", "--no-cache-dir ", "", "DL3042"),
    (check_spelling, "README.md", "## Start", f"## {MISSPELT} start", f"{MISSPELT} ==> world"),
    (check_spelling, CI, "name: checks", f"name: {MISSPELT} checks", f"{MISSPELT} ==> world"),
    (check_secrets, "README.md", "## Start", f"## {AWS_KEY}", "AWS Access Key"),
    (check_secrets, "SECURITY.md", "# Security", PRIVATE_KEY, "Private Key"),
]


@pytest.mark.parametrize(("check", "name", "old", "new", "told"), PLANTED)
def test_a_planted_fault_is_found(
    copy: Path, check: Check, name: str, old: str, new: str, told: str
):
    text = (copy / name).read_text(encoding="utf-8")
    assert old in text
    (copy / name).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(AssertionError, match=re.escape(told)):
        check(copy)


@pytest.mark.parametrize("check", [check_spelling, check_secrets])
def test_a_picture_in_a_notebook_is_no_finding(copy: Path, check: Check):
    # Large enough to hold a few words by chance.
    picture = base64.b64encode(hashlib.shake_256(b"picture").digest(600_000)).decode()
    notebook = {"cells": [{"outputs": [{"data": {"image/png": f"{picture}\n"}}]}]}
    path = copy / "notebooks" / "mine.ipynb"
    path.write_text(json.dumps(notebook, indent=1), encoding="utf-8")
    check(copy)


def test_every_action_is_pinned_by_commit_and_says_its_version(tree: Path):
    for workflow in (tree / ".github" / "workflows").iterdir():
        text = workflow.read_text(encoding="utf-8")
        used = re.findall(r"uses: (.*)", text)
        assert used
        for action in used:
            assert re.fullmatch(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_workflows_may_read_and_write_nothing(tree: Path):
    for workflow in (tree / ".github" / "workflows").iterdir():
        content = read(workflow)
        assert content["permissions"] == {}
        for name, job in content["jobs"].items():
            assert job["permissions"] == {"contents": "read"}, name


@pytest.mark.parametrize("version", CHOICES["python_version"])
def test_the_container_for_development_has_the_chosen_python(create: Create, version: str):
    project = create(python_version=version)
    text = (project / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    container = json.loads(text)
    # The names are those of https://containers.dev.
    names = {"name", "image", "hostRequirements", "postCreateCommand", "customizations"}
    assert set(container) == names
    assert container["image"].endswith(f"/python:{version}")
    assert container["hostRequirements"] == {"gpu": "optional"}  # one is used if there is one
    assert container["postCreateCommand"].endswith("pip install -r requirements-dev.txt")
    editor = container["customizations"]["vscode"]
    assert set(editor) == {"extensions", "settings"}
    assert editor["settings"]["[python]"]["editor.defaultFormatter"] in editor["extensions"]


@pytest.mark.parametrize("license_", CHOICES["license"])
def test_the_citation_says_what_was_answered(create: Create, license_: str):
    answers = {"project_name": AWKWARD, "description": AWKWARD, "author_name": AWKWARD}
    project = create(project_slug="pets", license=license_, **answers)
    check_forms(project)
    cited = read(project / "CITATION.cff")
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["title"] == cited["abstract"] == AWKWARD
    assert cited["authors"] == about["authors"]
    assert cited["version"] == about["version"]
    assert cited.get("license", "none") == license_
    assert not any("date" in key for key in cited)  # the same answers give the same bytes
    check_image(project)


def test_what_was_left_blank_is_not_cited(create: Create):
    project = create(description="", author_email="")
    check_forms(project)
    cited = read(project / "CITATION.cff")
    assert "abstract" not in cited
    assert cited["authors"] == [{"name": "Your Name"}]


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("a+b'c{d}|e@sub.example.org", "Write to <a+b'c{d}|e@sub.example.org>.\nSay"),
        ("", "*Report a\nvulnerability*.\nSay"),
    ],
)
def test_a_weakness_is_reported_privately(create: Create, address: str, where: str):
    text = (create(author_email=address) / "SECURITY.md").read_text(encoding="utf-8")
    assert where in text
    assert text.count("Write to") == bool(address)


def as_repository(source: Path, folder: Path) -> Path:
    copied(source, folder)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def run_hooks(folder: Path) -> str:
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    # All share what is installed, also the next run of the tests: by name and version.
    home = str(REPOSITORY / "build" / "pre-commit")
    return tool(folder, "pre-commit", "run", "--all-files", PRE_COMMIT_HOME=home)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["template", "untouched"])  # frameworks share their hooks
def test_the_hooks_pass_and_change_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
):
    folder = as_repository(request.getfixturevalue(kind), tmp_path / "repository")
    if (folder / "main.py").exists():  # most projects have a record of the commit they came from
        commit = hashlib.sha1(b"a commit", usedforsecurity=False).hexdigest()
        (folder / ".cruft.json").write_text(f'{{"commit": "{commit}"}}\n')
    said = run_hooks(folder)
    assert said.count("Passed\n") == len(hooks(folder)), said  # and none was skipped
    subprocess.run(["git", "diff", "--exit-code"], cwd=folder, check=True)


# One fault for each hook.
FAULTS = {
    "ruff": ("unused.py", '"""Imports what it does not use."""\n\nimport os\n'),
    "ruff-projects": (f"{TEMPLATE_FOLDER}/undocumented.py", "ANSWER = 42\n"),
    "ruff-format": ("crowded.py", '"""Has no space."""\n\nx=1\n'),
    "trailing-whitespace": ("space.md", "space \n"),
    "end-of-file": ("end.md", "no new line"),
    "merge-conflict": ("conflict.md", "<<<<<<< ours\n=======\n>>>>>>> theirs\n"),
    "large-files": ("large.bin", "0" * 2_000_000),
    "private-key": ("key.pem", f"{PRIVATE_KEY}\n"),
    "spelling": ("words.md", f"{MISSPELT} words\n"),
    "secrets": ("settings.yaml", f"key: {AWS_KEY}\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["template", "untouched"])  # frameworks share their hooks
def test_each_hook_finds_its_fault(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    folder = as_repository(request.getfixturevalue(kind), tmp_path / "repository")
    names = [hook["id"] for hook in hooks(folder)]
    assert set(names) <= set(FAULTS)
    for name, text in FAULTS.values():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for mark in ("MERGE_HEAD", "MERGE_MSG"):  # conflicts are looked for while merging
        (folder / ".git" / mark).touch()
    with pytest.raises(AssertionError) as failed:
        run_hooks(folder)
    assert re.findall(r"^ *- hook id: (.*)$", str(failed.value), re.MULTILINE) == names
