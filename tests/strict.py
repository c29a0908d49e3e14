"""The strict checks of a generated project's own files; its users inherit gentler ones."""

from pathlib import Path

from conftest import framework_python, tool
from generate import REPOSITORY


def check_style(project: Path) -> None:
    """Check style and format by the template's own rules."""
    rules = str(REPOSITORY / "tests" / "style.toml")
    tool(project, "ruff", "check", "--no-cache", "--config", rules, ".")
    tool(project, "ruff", "format", "--check", "--no-cache", ".")


def check_types(project: Path, framework: str) -> None:
    """Check the types as far as the framework states its own."""
    options = ["--config-file", str(REPOSITORY / "tests" / "types.toml")]
    options += ["--python-executable", str(framework_python(framework))]
    options += ["--cache-dir", str(REPOSITORY / "build" / f"mypy-{framework}")]
    if framework == "tensorflow":
        # Keras says nothing about its types, and models derive from its classes.
        options += ["--allow-subclassing-any"]
    tool(project, "mypy", *options)
