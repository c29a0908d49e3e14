"""What the tests share: a clean copy of the template, generated projects, and how to run them.

| fixture     | is                                                                              |
|-------------|---------------------------------------------------------------------------------|
| `framework` | each framework the template offers, in turn: a test that uses it runs for all   |
| `template`  | a clean copy of the template as it is in the working tree, uncommitted edits too |
| `create`    | generates a project with other answers: `create(license="none")`                |
| `project`   | a project with the default answers and `framework`; not to be changed           |
| `whole`     | the same with all parts                                                         |
| `python`    | the interpreter that has `framework`'s requirements                             |
| `run`       | runs that interpreter in a project: `run(project, "main.py", "config")`         |
| `ask`       | runs code in a project and returns what it prints as JSON                       |

Tests that change a project copy it first, or generate their own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from answers import CHOICES
from generate import REPOSITORY, clean_copy, generate

QUESTIONS = json.loads((REPOSITORY / "cookiecutter.json").read_text(encoding="utf-8"))
FRAMEWORKS = CHOICES["framework"]
TASKS = CHOICES["task"]

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine two threads that spin while they wait run several times slower than one that
# sleeps; and one thread gives the same sums everywhere.
QUIET = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUTF8": "1"}

# The files that take longest, longest first: where several workers share the tests, they end at
# about the same time if what is left for the end is short.
LONGEST = """
    test_generated_tests test_training test_processes test_newcomer test_benchmarks test_kill_ranks
    test_classification test_kills test_new_task test_determined test_updates test_remote_runs
    test_configuration test_readme test_any_answers test_locks test_hygiene
""".split()

# An example is a generated project: slow, and made from fixtures that examples do not change.
settings.register_profile(
    "projects",
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "nightly", settings.get_profile("projects"), max_examples=500, derandomize=False
)
settings.load_profile("projects")

Create = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
Ask = Callable[..., Any]


class ByFileAndFramework(LoadScopeScheduling):
    """Keeps the tests of a file and a framework on one worker: they share what was trained."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        parameters = name.partition("[")[2].removesuffix("]").split("-")
        return f"{file} {[one for one in FRAMEWORKS if one in parameters]}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFileAndFramework:
    """Divide the tests among the workers, whatever `--dist` says."""
    return ByFileAndFramework(config, log)


# After pytest's own order, which brings a framework's tests together.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


# For tests of code that the frameworks share and of what is done before one starts: once is enough.
# Indirect: the fixture below, by whose value pytest caches those that depend on it.
in_one_framework = pytest.mark.parametrize("framework", FRAMEWORKS[:1], indirect=True)


def tool(folder: Path, *arguments: str, **environment: str) -> str:
    """Run a tool of the template's own environment in a folder and return what it says.

    The tool complaining is the failure, with what it says.
    """
    program, *rest = arguments
    # Not `python -m`: some tools are no Python.
    result = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *rest],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    said = result.stdout + result.stderr
    assert result.returncode == 0, f"\n{said}"
    return said


def framework_python(name: str) -> Path:
    """Find the interpreter of a framework or launcher with what it needs, or tell what makes it."""
    variable = f"CDL_PYTHON_{name.upper()}"
    default = REPOSITORY / f".venv-{name}" / "bin" / "python"
    # absolute(), not resolve(): the link inside an environment is what makes it that environment.
    python = Path(os.environ.get(variable, default)).absolute()
    if not python.is_file():
        pytest.fail(f"No Python for {name} at {python}. Run `make setup`, or set {variable}.")
    return python


@pytest.fixture(scope="session", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_copy(tmp_path_factory.mktemp("template") / "cookiecutter-deep-learning")


@pytest.fixture(scope="session")
def create(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Create:
    # The same answers give the same bytes (test_tree.py), and to copy is quicker.
    known: dict[frozenset[tuple[str, str]], Path] = {}

    def create(**answers: str) -> Path:
        asked = frozenset(answers.items())
        if asked not in known:
            known[asked] = generate(template, tmp_path_factory.mktemp("first"), **answers)
        folder = tmp_path_factory.mktemp("generated") / known[asked].name
        return Path(shutil.copytree(known[asked], folder))

    return create


@pytest.fixture(scope="session")
def project(create: Create, framework: str) -> Path:
    return create(framework=framework)


@pytest.fixture(scope="session")
def whole(create: Create, framework: str) -> Path:
    return create(framework=framework, parts="all")


@pytest.fixture(scope="session")
def python(framework: str) -> Path:
    return framework_python(framework)


@pytest.fixture(scope="session")
def run(python: Path) -> Run:
    def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python), *arguments],
            cwd=project,
            env={**os.environ, **QUIET, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    return run


@pytest.fixture(scope="session")
def ask(run: Run) -> Ask:
    """The tests' own environment has neither NumPy nor Pillow: a project's has."""

    def ask(project: Path, code: str, *arguments: object) -> Any:
        result = run(project, "-c", code, *map(str, arguments))
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return ask
