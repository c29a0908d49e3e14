"""Every way into the generator, and every place it may be called from.

Whichever way is taken, the same answers give the same bytes, and a refused answer gives one message
and no file.
"""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from conftest import QUESTIONS
from generate import cookiecutter

TEXTS = {
    "project_name": "Straßen {{ 7*7 }}",
    "description": '{% it\'s %} "#% so" \\',
    "author_name": "Zoë O'Brien",
}
REFUSAL = (
    "Cannot use project_slug = 'class': it is a word of the Python language.\nTry: class_project\n"
)

Way = Callable[[Path, Path, dict[str, str]], subprocess.CompletedProcess[str]]


def by_command_line(template: Path, output: Path, answers: dict[str, str]):
    return cookiecutter(template, output, **answers)


def by_configuration(template: Path, output: Path, answers: dict[str, str]):
    home = output.parent
    home.joinpath("settings.yaml").write_text(yaml.safe_dump({"default_context": answers}))
    return process(home, "--config-file", "settings.yaml", "--no-input", str(template), out=output)


def by_record(template: Path, output: Path, answers: dict[str, str]):
    record = output.parent / "record.json"
    private = {key: value for key, value in QUESTIONS.items() if key.startswith("_")}
    public = {key: value for key, value in QUESTIONS.items() if not key.startswith("_")}
    derived = {"project_slug": "strassen_7_7", "parts": "oxford_pets", "__checked": ""}
    given = {**private, **public, **derived, **answers}
    record.write_text(json.dumps({"cookiecutter": given}), encoding="utf-8")
    return cookiecutter(template, output, "--replay-file", str(record))


def by_zip(template: Path, output: Path, answers: dict[str, str]):
    packed = output.parent / "template"
    shutil.make_archive(str(packed), "zip", template.parent, template.name)
    return cookiecutter(packed.with_suffix(".zip"), output, **answers)


def by_cruft(template: Path, output: Path, answers: dict[str, str]):
    clone = output.parent / "clone"
    shutil.copytree(template, clone)
    nobody = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    for words in (("init", "--quiet"), ("add", "--all"), (*nobody, "commit", "--quiet", "-m", "1")):
        subprocess.run(["git", *words], cwd=clone, check=True)
    output.mkdir()
    words = ["create", str(clone), "--output-dir", str(output), "--no-input", "--extra-context"]
    return subprocess.run(
        [sys.executable, "-m", "cruft", *words, json.dumps(answers)],
        env={**os.environ, "HOME": str(output.parent), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


WAYS = [by_command_line, by_configuration, by_record, by_zip, by_cruft]


def process(folder: Path, *arguments: str, out: Path, **environment: str):
    """Run cookiecutter in a folder that is its home."""
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", "--output-dir", str(out), *arguments],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def tree(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".cruft.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_gives_the_same_bytes(template: Path, tmp_path: Path, create, way: Way):
    done = way(template, tmp_path / "output", TEXTS)
    assert done.returncode == 0, done.stdout + done.stderr
    (project,) = (tmp_path / "output").iterdir()
    assert project.name == "strassen_7_7"
    assert tree(project) == tree(create(**TEXTS))
    assert (project / ".cruft.json").exists() == (way is by_cruft)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_refuses_in_the_same_words(template: Path, tmp_path: Path, way: Way):
    done = way(template, tmp_path / "output", {"project_slug": "class"})
    assert done.returncode == 1
    assert done.stdout + done.stderr == REFUSAL
    assert [*tmp_path.glob("output/*")] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("project_slug", "../evil"), ("license", "../evil"), ("author_name", "\n"), ("framework", 3)],
)
def test_an_edited_record_is_refused_too(template: Path, tmp_path: Path, field, value):
    done = by_record(template, tmp_path / "output", {field: value})
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"Cannot use {field} = ")
    assert done.stderr == ""
    assert list((tmp_path / "output").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_the_last_answers_are_replayed_to_the_same_bytes(template: Path, tmp_path: Path):
    first = process(tmp_path, "--no-input", str(template), *pairs(), out=tmp_path / "first")
    second = process(tmp_path, "--replay", str(template), out=tmp_path / "second")
    assert first.returncode == second.returncode == 0, second.stderr
    assert tree(tmp_path / "first") == tree(tmp_path / "second")


def test_a_refused_answer_is_not_kept_for_replay(template: Path, tmp_path: Path):
    done = process(tmp_path, "--no-input", str(template), "project_name=", out=tmp_path / "output")
    assert done.returncode == 1
    assert list(tmp_path.rglob("*.json")) == []


def pairs() -> list[str]:
    return [f"{field}={text}" for field, text in TEXTS.items()]


def test_a_misspelt_variable_does_nothing(template: Path, tmp_path: Path, create):
    # As the README says: cookiecutter passes over it before anything of ours runs.
    done = cookiecutter(template, tmp_path, framwork="tensorflow")
    assert done.returncode == 0
    assert tree(tmp_path / "my_deep_learning_project") == tree(create())


def test_an_existing_folder_is_left_alone(template: Path, tmp_path: Path):
    project = tmp_path / "my_deep_learning_project"
    project.mkdir()
    (project / "mine.txt").write_text("mine")
    done = cookiecutter(template, tmp_path)
    assert done.returncode == 1
    assert done.stdout == f'Error: "{project}" directory already exists\n'
    assert done.stderr == ""
    assert tree(project) == {"mine.txt": b"mine"}


def test_ctrl_c_at_a_prompt_leaves_nothing(template: Path, tmp_path: Path):
    (tmp_path / "output").mkdir()
    terminal, screen = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "cookiecutter", "-o", str(tmp_path / "output"), str(template)],
        stdin=screen,
        stdout=screen,
        stderr=screen,
        env={**os.environ, "HOME": str(tmp_path), "TERM": "dumb"},
    )
    os.close(screen)
    shown = b""
    first = f"[1/{sum(not name.startswith('_') for name in QUESTIONS)}]".encode()
    while first not in shown:
        shown += os.read(terminal, 1024)
    # One that comes between the question and the waiting for an answer is noticed with the next.
    while asking.poll() is None:
        asking.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            asking.wait(timeout=2)
    assert asking.returncode == 1
    shown += os.read(terminal, 4096)
    os.close(terminal)
    assert b"Aborted" in shown
    assert b"Traceback" not in shown
    assert list((tmp_path / "output").iterdir()) == []


@pytest.mark.parametrize("name", ["with spaces", "Größe 漢字 🚀", "{{ braces }}", 'it\'s "quoted"'])
def test_any_folder_will_do(template: Path, tmp_path: Path, create, name: str):
    elsewhere = tmp_path / name
    elsewhere.mkdir()
    copy = shutil.copytree(template, elsewhere / "template")
    done = cookiecutter(copy, elsewhere / "output")
    assert done.returncode == 0, done.stderr
    assert tree(elsewhere / "output" / "my_deep_learning_project") == tree(create())


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "LANG": ""}])
def test_any_locale_will_do(template: Path, tmp_path: Path, create, locale: dict[str, str]):
    words = ("--no-input", str(template), *pairs())
    done = process(tmp_path, *words, out=tmp_path / "out", **locale)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "out" / "strassen_7_7") == tree(create(**TEXTS))


def test_git_is_not_needed(template: Path, tmp_path: Path, create):
    done = process(tmp_path, "--no-input", str(template), out=tmp_path / "out", PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "out" / "my_deep_learning_project") == tree(create())


def test_a_folder_that_takes_no_files_is_refused(template: Path, tmp_path: Path):
    # /proc takes files from nobody, whoever runs this.
    done = process(tmp_path, "--no-input", str(template), out=Path("/proc/1"))
    assert done.returncode == 1
    assert done.stdout == (
        "Cannot write into '/proc/1': not allowed.\nTry: another folder, with --output-dir\n"
    )
    assert done.stderr == ""
