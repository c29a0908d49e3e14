"""The tests that a user gets pass in a project fresh from the template."""

from pathlib import Path

import pytest

from conftest import TASKS, Create, Run

# What these rooms' tests ask does not depend on the task: once a framework is enough.
SHARED = ("devices", "distributed", "launch", "runs", "utils")


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("task", TASKS)
def test_the_generated_tests_pass(create: Create, run: Run, framework: str, task: str):
    # Without a licence file; test_combinations.py holds that no choice changes what is tested, but
    # for the Python version, which `main.py check` holds against the Python that runs.
    project: Path = create(framework=framework, task=task, license="none", parts="all")
    left_out = [] if task == TASKS[0] else [f"--ignore=tests/{room}" for room in SHARED]
    result = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *left_out)
    assert result.returncode == 0, result.stdout + result.stderr
