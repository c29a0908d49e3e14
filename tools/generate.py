"""Generates a project from a clean copy of this working tree, for the Makefile and the tests.

Cookiecutter copies whatever lies in the template's folder, also caches left by linting in place.
The copy holds what git would commit: tracked files as they are now, and new ones not ignored, so
that uncommitted edits are tried as well.

    python tools/generate.py build/demo framework=pytorch project_name="My project"
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE_FOLDER = "{{cookiecutter.project_slug}}"


def clean_copy(destination: Path) -> Path:
    """Copy what git would commit now into `destination` and return it."""
    # safe.directory: the working tree may belong to another user, as in a container.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
    command += ["--exclude-standard", "--deduplicate"]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout
    for name in filter(None, os.fsdecode(listed).split("\0")):
        source, target = REPOSITORY / name, destination / name
        if source.is_file():  # git also lists what was deleted and not yet committed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return destination


def cookiecutter(
    template: Path, output: Path, *arguments: str, **answers: str
) -> subprocess.CompletedProcess[str]:
    """Run `cookiecutter` as a user would, without questions and without touching their home."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        settings = Path(home, "settings.json")  # JSON is YAML too
        folders = {"cookiecutters_dir": f"{home}/cookiecutters", "replay_dir": f"{home}/replay"}
        settings.write_text(json.dumps(folders), encoding="utf-8")
        given = arguments or ("--no-input",)
        return subprocess.run(
            [sys.executable, "-m", "cookiecutter", *given]
            + ["--config-file", str(settings), "--output-dir", str(output), str(template)]
            + [f"{question}={answer}" for question, answer in answers.items()],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"},
        )


def generate(template: Path, output: Path, **answers: str) -> Path:
    """Generate a project into the folder `output` and return the project's own folder.

    Raises:
        RuntimeError: the answers were refused, or anything else went wrong; with what was printed.
    """
    existing = set(output.iterdir()) if output.is_dir() else set()
    result = cookiecutter(template, output, **answers)
    if result.returncode != 0:
        raise RuntimeError(f"cookiecutter failed:\n{result.stdout}{result.stderr}")
    (project,) = set(output.iterdir()) - existing
    return project


def main() -> None:
    """Generate into the folder named first, with the `question=answer` pairs named after it."""
    output, *pairs = sys.argv[1:]
    answers = dict(pair.split("=", 1) for pair in pairs)
    with tempfile.TemporaryDirectory() as copy:
        print(generate(clean_copy(Path(copy)), Path(output).resolve(), **answers))


if __name__ == "__main__":
    main()
