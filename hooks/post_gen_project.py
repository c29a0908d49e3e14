"""Lays the folders of `_parts/` that the answers ask for over the project, and removes `_parts/`.

A folder's name says when it is laid: `framework=pytorch`, `part=slurm`, or several such conditions
with commas between them, which must all hold. Folders with fewer conditions come first.

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
    parts = project / "_parts"
    answers = json.loads((parts / "answers.json").read_text(encoding="utf-8"))
    folders = sorted(parts.glob("*/"), key=lambda folder: (folder.name.count(","), folder.name))
    for folder in folders:
        remove_copies(folder, project)
    for folder in folders:
        if is_wanted(folder.name, answers):
            shutil.copytree(folder, project, dirs_exist_ok=True)
    shutil.rmtree(parts)
    if answers["license"] == "none":
        (project / "LICENSE").unlink()


def is_wanted(name: str, answers: dict[str, str]) -> bool:
    """Return whether all conditions of a folder's name hold.

    The answer to `part` is a list of words with commas between them.
    """
    conditions = (condition.split("=") for condition in name.split(","))
    return all(value in answers[question].split(",") for question, value in conditions)


def remove_copies(tree: Path, project: Path) -> None:
    """Remove what a project that was generated before has from a folder, unless edited since."""
    for source in tree.rglob("*"):
        copy = project / source.relative_to(tree)
        if source.is_file() and copy.is_file() and filecmp.cmp(source, copy, shallow=False):
            copy.unlink()


if __name__ == "__main__":
    main(Path.cwd())
