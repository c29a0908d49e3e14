"""The answers: what is derived, what is refused and how, and that text stays as typed."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment

from answers import LONGEST, Answers, Refused, checked, escaped, owner_of, quoted, slug
from conftest import QUESTIONS, Create
from generate import clean_copy, cookiecutter

NASTY = 'O\'Brien "says" \\n # {{no}} é 漢字 🚀 $HOME `ls` <b>&amp; : - * [x](y) %d {1}'


def complete(**answers: str) -> dict[str, object]:
    """Return a full set of good answers, but for those given."""
    good = {key: value for key, value in QUESTIONS.items() if not key.startswith("_")}
    first = {key: value[0] if isinstance(value, list) else value for key, value in good.items()}
    return {**first, "project_slug": "my_project", **answers}


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("My Deep Learning Project", "my_deep_learning_project"),
        ("3D U-Net: pets (v2)", "project_3d_u_net_pets_v2"),
        ("  Ärzte & Söhne  ", "arzte_sohne"),
        ("深度学习", "shen_du_xue_xi"),
        ("Random", "random_project"),
        ("class", "class_project"),
        ("PyTorch", "pytorch"),
        ("Torch", "torch_project"),
        ("COM1", "com1_project"),
        ("../../etc/passwd", "etc_passwd"),
        ("🚀", ""),
    ],
)
def test_a_folder_name_is_derived_from_any_title(title, name):
    assert slug(title) == name
    if name:
        checked(complete(project_name=title, project_slug=name))


def test_a_long_title_gives_a_name_that_fits():
    name = slug("word " * 20)
    assert len(name) <= LONGEST["project_slug"]
    assert name.endswith("word")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("project_name", "", "blank"),
        ("project_name", " \t ", "blank"),
        ("project_name", "two\nlines", "U+000A"),
        ("project_name", "x" * 101, "101 characters"),
        ("project_slug", "", "no name could be derived"),
        ("project_slug", "My Project", "lower-case"),
        ("project_slug", "1st", "starts with a letter"),
        ("project_slug", "../evil", "lower-case"),
        ("project_slug", "/root", "lower-case"),
        ("project_slug", "a.b", "lower-case"),
        ("project_slug", "a__b", "lower-case"),
        ("project_slug", "trailing_", "lower-case"),
        ("project_slug", "x" * 51, "51 characters"),
        ("project_slug", "class", "word of the Python language"),
        ("project_slug", "json", "standard library"),
        ("project_slug", "numpy", "import"),
        ("project_slug", "scikit-learn", "import"),
        ("project_slug", "utils", "part of the generated project"),
        ("project_slug", "nul", "Windows"),
        ("description", "hidden \u202e text", "U+202E"),
        ("description", "half a pair \ud800", "U+D800"),
        ("author_name", "", "blank"),
        ("author_name", "bell \x07", "U+0007"),
        ("author_email", "nobody", "no e-mail"),
        ("author_email", "a@b", "no e-mail"),
        ("author_email", "a b@example.com", "no e-mail"),
        ("author_email", "a..b@example.com", "no e-mail"),
        ("author_email", "a@-example.com", "no e-mail"),
        ("framework", "caffe", "one of pytorch, tensorflow"),
        ("license", "../LICENSE", "one of MIT"),
        ("python_version", "2.7", "one of 3.11"),
    ],
)
def test_a_refusal_names_field_value_reason_and_suggestion(field, value, reason):
    with pytest.raises(Refused) as refused:
        checked(complete(**{field: value}))
    message = str(refused.value)
    assert field in message
    assert reason in message
    assert "Try: " in message
    assert len(message.splitlines()) <= 3
    assert message.isascii()


def test_the_suggestion_for_a_bad_folder_name_is_a_good_one():
    for bad in ("My Project", "1st", "../evil", "class", "json", "nul", "a__b", "x" * 60):
        assert owner_of(slug(bad)) == ""
        checked(complete(project_slug=slug(bad)))


def test_good_answers_pass_and_are_trimmed_in_place():
    answers = complete(project_name="  Pets ", author_email=" ", project_slug="pets-2")
    checked(answers)
    assert answers["project_name"] == "Pets"
    assert answers["author_email"] == ""
    assert answers["project_slug"] == "pets-2"
    checked({"license": "MIT"})  # what replaying an old record asks


def test_quoted_text_reads_the_same_in_every_format():
    assert json.loads(quoted(NASTY)) == NASTY
    assert yaml.safe_load(quoted(NASTY)) == NASTY
    assert tomllib.loads(f"x = {quoted(NASTY)}")["x"] == NASTY
    assert tomllib.loads(f'x = "{escaped(NASTY)}"')["x"] == NASTY
    assert "O'Brien" in quoted(NASTY)
    assert "漢字" in quoted(NASTY)


def test_text_stays_as_typed_in_the_generated_files(create: Create):
    # Cookiecutter itself renders what is given on the command line, so no braces here.
    text = NASTY.replace("{{no}}", "")
    project = create(project_name=text, project_slug="pets", description=text, author_name=text)
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["description"] == text
    assert about["authors"] == [{"name": text, "email": "you@example.com"}]
    assert f"Copyright (c) {text}\n" in (project / "LICENSE").read_text(encoding="utf-8")
    label = quoted(text).replace("$", "\\$")
    assert f"image.title={label}\n" in (project / "Dockerfile").read_text(encoding="utf-8")


def test_no_email_is_an_answer(create: Create):
    project = create(author_email="", author_name="A. Nonymous")
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["authors"] == [{"name": "A. Nonymous"}]


def test_a_refusal_is_one_message_and_writes_nothing(template: Path, tmp_path: Path):
    result = cookiecutter(template, tmp_path, project_slug="class")
    assert result.returncode == 1
    assert result.stdout == (
        "Cannot use project_slug = 'class': it is a word of the Python language.\n"
        "Try: class_project\n"
    )
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"), [("project_slug", "../evil"), ("license", "../evil"), ("author_name", "\n")]
)
def test_an_edited_record_is_refused_too(template: Path, tmp_path: Path, field, value):
    private = {key: value for key, value in QUESTIONS.items() if key.startswith("_")}
    record = tmp_path / "record.json"
    answers = complete(**{field: value})
    record.write_text(json.dumps({"cookiecutter": {**private, **answers, "__checked": "yes"}}))
    output = tmp_path / "output"
    result = cookiecutter(template, output, "--replay-file", str(record))
    assert result.returncode == 1, result.stderr
    assert result.stdout.startswith(f"Cannot use {field} = ")
    assert result.stderr == ""
    assert list(output.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_cruft_prints_a_refusal_without_a_traceback(tmp_path: Path):
    template = clean_copy(tmp_path / "template")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "all"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *identity, *command], cwd=template, check=True)
    given = ["--no-input", "--extra-context", json.dumps({"project_slug": "class"})]
    output = tmp_path / "output"
    output.mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "cruft", "create", str(template), *given],
        cwd=output,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Cannot use project_slug = 'class'")
    assert "Traceback" not in result.stdout + result.stderr
    assert list(output.iterdir()) == []


def test_two_versions_of_the_template_can_be_rendered_in_one_process(monkeypatch):
    # As `cruft update` does. The module must not stay, or the new version meets the old filters.
    import answers

    monkeypatch.setitem(sys.modules, Answers.__module__, answers)
    environment = Environment(extensions=[Answers], autoescape=False)  # noqa: S701
    assert Answers.__module__ not in sys.modules
    assert environment.from_string("{{ 'Torch' | slug }}").render() == "torch_project"
