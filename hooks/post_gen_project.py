"""Keeps the chosen framework's files and removes the others'.

Cookiecutter runs this in the new project's folder, and `cruft update` runs it on both sides of
every update, so it is pure, quick and silent: no git, no network, no questions. Hooks are rendered
before they run, which would turn an answer written into one into code. So this one holds no Jinja
and reads the answers from a file that was rendered as JSON.
"""

import filecmp
import json
import shutil
from pathlib import Path


def main(project: Path) -> None:
    """Turn the rendered tree into the project that the answers describe."""
    frameworks = project / "_frameworks"
    answers = json.loads((frameworks / "answers.json").read_text(encoding="utf-8"))
    for other in frameworks.glob("*/"):
        remove_copies(other, project)
    shutil.copytree(frameworks / answers["framework"], project, dirs_exist_ok=True)
    shutil.rmtree(frameworks)
    if answers["license"] == "none":
        (project / "LICENSE").unlink()


def remove_copies(tree: Path, project: Path) -> None:
    """Remove a framework's files from a project that was generated with it, unless edited since."""
    for source in tree.rglob("*"):
        copy = project / source.relative_to(tree)
        if source.is_file() and copy.is_file() and filecmp.cmp(source, copy, shallow=False):
            copy.unlink()


if __name__ == "__main__":
    main(Path.cwd())
