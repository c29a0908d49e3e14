"""The questions as a person meets them: on a terminal, answered by typing, Enter for a default."""

import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from conftest import QUESTIONS

ASKED = [name for name in QUESTIONS if not name.startswith("_")]
END_OF_INPUT = "\x04"  # Ctrl-D: one question too many fails the test in place of waiting for ever


def answer(template: Path, output: Path, **typed: str) -> tuple[int, str]:
    """Generate by typing; return the exit code and all that the terminal showed, lines joined.

    A question that is not named is answered with Enter alone.
    """
    output.mkdir()
    terminal, keyboard_and_screen = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cookiecutter", "--output-dir", str(output), str(template)],
        stdin=keyboard_and_screen,
        stdout=keyboard_and_screen,
        stderr=keyboard_and_screen,
        env={**os.environ, "HOME": str(output.parent), "TERM": "dumb"},
    )
    os.close(keyboard_and_screen)
    lines = [f"{typed.get(name, '')}\n" for name in ASKED]
    os.write(terminal, "".join([*lines, END_OF_INPUT]).encode())
    shown = b""
    while chunk := read(terminal):
        shown += chunk
    os.close(terminal)
    return process.wait(), " ".join(shown.decode().split())


def read(terminal: int) -> bytes:
    """Return what is there to read, nothing once the other side has gone."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says so
        return b""


def test_enter_takes_every_default(template: Path, tmp_path: Path):
    code, shown = answer(template, tmp_path / "output")
    assert code == 0, shown
    project = tmp_path / "output" / "my_deep_learning_project"
    assert (project / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert [path.name for path in project.parent.iterdir()] == [project.name]
    assert "Traceback" not in shown


def test_the_default_parts_are_those_that_go_with_the_task(template: Path, tmp_path: Path):
    code, shown = answer(template, tmp_path / "output", task="2")
    assert code == 0, shown
    project = tmp_path / "output" / "my_deep_learning_project"
    assert (project / "model" / "convnet.py").exists()
    assert not (project / "configs" / "oxford_pets.yaml").exists()


def test_every_question_is_asked_once_in_plain_words(template: Path, tmp_path: Path):
    _, shown = answer(template, tmp_path / "output")
    for number, name in enumerate(ASKED, start=1):
        words = " ".join(re.sub(r"\[[^]]*\]", "", QUESTIONS["__prompts__"][name]).split())
        assert shown.count(f"[{number}/{len(ASKED)}] {words} ") == 1, name
    assert "__" not in shown  # names of the template's own


def test_what_is_typed_is_what_is_generated(template: Path, tmp_path: Path):
    code, shown = answer(
        template,
        tmp_path / "output",
        project_name="Straßen & Wege",
        description='Says "where" the road is.',
        author_name="Zoë O'Brien",
        author_email="zoe@example.org",
        framework="TensorFlow",
        parts="Slurm, oxford-pets",
        license="4",
        python_version="3.12",
    )
    assert code == 0, shown
    assert "(strassen_wege)" in shown  # the name derived from the title is offered
    project = tmp_path / "output" / "strassen_wege"
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["description"] == 'Says "where" the road is.'
    assert about["authors"] == [{"name": "Zoë O'Brien", "email": "zoe@example.org"}]
    assert about["requires-python"] == ">=3.12"
    assert any("tensorflow" in one for one in about["dependencies"])
    assert not (project / "LICENSE").exists()
    assert (project / "configs" / "slurm.yaml").exists()
    assert f"Next: cd {project} python" in shown
    assert shown.endswith("python -m pip install -r requirements.txt python main.py train")
    assert (project / "README.md").read_text(encoding="utf-8").startswith("# Straßen & Wege\n")


def test_a_refused_answer_leaves_nothing_behind(template: Path, tmp_path: Path):
    code, shown = answer(template, tmp_path / "output", project_slug="class")
    assert code == 1
    assert "Cannot use project_slug = 'class': it is a word of the Python language." in shown
    assert "Try: class_project" in shown
    assert f"[3/{len(ASKED)}]" not in shown  # told at once, not after all the other questions
    assert "Traceback" not in shown
    assert list((tmp_path / "output").iterdir()) == []
    replays = tmp_path / ".cookiecutter_replay"
    assert not replays.exists() or list(replays.iterdir()) == []
