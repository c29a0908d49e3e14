"""The tests that a user gets pass in a project fresh from the template."""

from pathlib import Path

import pytest

from conftest import Create, Run


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_generated_tests_pass(create: Create, run: Run, framework: str):
    # Without a licence file; test_combinations.py holds that no choice changes what is tested, but
    # for the Python version, which `main.py check` holds against the Python that runs.
    project: Path = create(framework=framework, license="none", parts="all")
    result = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout + result.stderr
