"""The tests that a user gets pass in a project fresh from the template."""

from pathlib import Path

import pytest

from conftest import Create, Run


@pytest.mark.slow
def test_the_generated_tests_pass(create: Create, run: Run, framework: str):
    project: Path = create(framework=framework)
    result = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout + result.stderr
