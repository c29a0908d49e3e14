"""The tests that a user gets pass in a project fresh from the template."""

from pathlib import Path

import pytest

from conftest import Create, Run


@pytest.mark.slow
def test_the_generated_tests_pass(create: Create, run: Run, framework: str):
    # Not the defaults; test_combinations.py holds that no other choice changes what is tested.
    project: Path = create(framework=framework, license="none", python_version="3.13")
    result = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout + result.stderr
