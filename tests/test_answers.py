"""The answers: what is derived, what is refused and how, and that text stays as typed."""

import json
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from jinja2 import Environment

from answers import (
    CHOICES,
    LONGEST,
    NEEDS,
    NUMBERED,
    PARTS,
    Answers,
    Refused,
    checked,
    escaped,
    literal,
    next_steps,
    owner_of,
    quoted,
    slug,
)
from conftest import QUESTIONS, Create
from kept import assert_kept, assert_parses

NASTY = 'O\'Brien "says" \\n # {{no}} é 漢字 🚀 $HOME `ls` <b>&amp; : - * [x](y) %d {1}'


def complete(**answers: str) -> dict[str, object]:
    """Return a full set of good answers, but for those given."""
    good = {key: value for key, value in QUESTIONS.items() if not key.startswith("_")}
    return {**good, "project_slug": "my_project", "parts": "none", **answers}


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
        ("task", "ranking", "one of segmentation, classification"),
        ("license", "../LICENSE", "one of MIT"),
        ("python_version", "2.7", "one of 3.11"),
        ("parts", "", "all, none, or some of"),
        ("parts", " , ", "it names no part"),
        ("parts", "slrum", "Try: slurm"),
        ("parts", "web page", "there is no part 'page'"),
        ("parts", "none,slurm", "none stands alone"),
        ("parts", "slurm,part=x", "there is no part 'part=x'"),
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


@pytest.mark.parametrize(
    ("field", "typed", "meant"),
    [
        ("framework", "PyTorch", "pytorch"),
        ("framework", "torch", "pytorch"),
        ("framework", "TF", "tensorflow"),
        ("framework", "2", "tensorflow"),
        ("task", "Classification", "classification"),
        ("task", "2", "classification"),
        ("license", "apache-2.0", "Apache-2.0"),
        ("license", "4", "none"),
        ("python_version", "3.12.4", "3.12"),
        ("python_version", "python 3.13", "3.13"),
        ("python_version", ">=3.11", "3.11"),
    ],
)
def test_what_was_meant_by_a_choice_is_found(field, typed, meant):
    answers = complete(**{field: typed})
    checked(answers)
    assert answers[field] == meant


@pytest.mark.parametrize(
    ("project", "typed", "meant"),
    [
        ("pytorch segmentation", "slurm", "slurm"),
        ("pytorch segmentation", " Slurm , oxford-pets", "oxford_pets,slurm"),
        ("pytorch segmentation", "slurm slurm,SLURM", "slurm"),
        ("pytorch segmentation", "None", "none"),
        ("pytorch segmentation", "all", ",".join(PARTS)),
        ("pytorch segmentation", "all,slurm", ",".join(PARTS)),
        ("pytorch segmentation", "torchx", "torchx"),
        ("pytorch classification", "all", "determined,kubernetes,slurm,torchx"),
        ("tensorflow segmentation", "ALL", "determined,kubernetes,oxford_pets,slurm"),
        ("tensorflow classification", "all", "determined,kubernetes,slurm"),
    ],
)
def test_which_parts_were_meant_is_found(project: str, typed: str, meant: str):
    framework, task = project.split()
    answers = complete(framework=framework, task=task, parts=typed)
    checked(answers)
    assert answers["parts"] == meant
    checked(answers)  # as cookiecutter does before each question
    assert answers["parts"] == meant


@pytest.mark.parametrize(
    ("answers", "typed", "reason"),
    [
        ({"framework": "tensorflow"}, "torchx,slurm", "torchx needs framework=pytorch"),
        ({"task": "classification"}, "slurm,oxford_pets", "oxford_pets needs task=segmentation"),
    ],
)
def test_a_part_that_the_other_answers_have_not_is_refused(
    answers: dict[str, str], typed: str, reason: str
):
    with pytest.raises(Refused) as refused:
        checked(complete(**answers, parts=typed))
    assert str(refused.value).splitlines() == [
        f"Cannot use parts = '{typed}': {reason}.",
        "Try: parts=slurm",
    ]


@pytest.mark.parametrize("task", CHOICES["task"])
def test_the_default_parts_go_with_the_task(task: str):
    offered = Environment(autoescape=False).from_string(QUESTIONS["parts"])  # noqa: S701
    answers = complete(task=task, parts=offered.render(cookiecutter={"task": task}))
    checked(answers)
    assert answers["parts"] == {"segmentation": "oxford_pets"}.get(task, "none")


def test_the_prompt_has_a_line_for_each_part():
    assert sorted(PARTS) == list(PARTS)
    lines = QUESTIONS["__prompts__"]["parts"].splitlines()
    assert [line.split("[/]")[0].strip().removeprefix("[bold]") for line in lines[1:-1]] == [*PARTS]
    for question, answer in NEEDS.values():
        assert answer in CHOICES[question]


def test_the_next_steps_are_shown_to_whom_waits_for_them(tmp_path: Path):
    answers = complete(_output_dir=str(tmp_path / "a b"))
    shown = next_steps(answers, str(tmp_path)).split("\n")
    assert shown[:3] == ["", "Next:", "  cd 'a b/my_project'"]
    assert shown[-2] == "  python main.py train"
    assert f"  cd '{tmp_path}/a b/my_project'" in next_steps(answers, str(tmp_path / "other"))
    del answers["_output_dir"]  # as under cruft
    assert next_steps(answers, str(tmp_path)) == ""


def test_the_prompts_offer_the_choices_in_their_order():
    for field, choices in CHOICES.items():
        prompt = QUESTIONS["__prompts__"][field]
        assert QUESTIONS[field] == choices[0]
        assert [*sorted(choices, key=prompt.index)] == [*choices]
        numbered = [f"[bold magenta]{n}[/] - [bold]{c}[/]" for n, c in enumerate(choices, 1)]
        assert all(line in prompt for line in numbered) == (field in NUMBERED)


@pytest.mark.parametrize("answer", [True, ["a", "b"], {"a": "b"}, 3.11])
def test_what_is_no_text_is_refused(answer):
    for field in ("project_name", "license"):
        with pytest.raises(Refused, match=r"it is no text"):
            checked(complete(**{field: answer}))


def test_null_is_blank():
    answers = complete(description=None)
    checked(answers)
    assert answers["description"] == ""
    with pytest.raises(Refused, match="it is blank"):
        checked(complete(author_name=None))


@pytest.mark.parametrize("text", ["{{ 1 }}", "{% x", "{# x", "#% x", "{{{{%#%}", "# {", "plain"])
def test_answers_are_never_run(text):
    assert Environment(line_statement_prefix="#%").from_string(literal(text)).render() == text  # noqa: S701


def test_a_place_without_room_or_rights_is_refused(tmp_path: Path, monkeypatch):
    place = complete(_output_dir=str(tmp_path / "not" / "yet"))
    checked(place)
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4_000_000))
        with pytest.raises(Refused, match="4,000,000 bytes are free, a project needs 5,000,000"):
            checked(place)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(Refused, match="not allowed"):
        checked(place)


def test_quoted_text_reads_the_same_in_every_format():
    assert json.loads(quoted(NASTY)) == NASTY
    assert yaml.safe_load(quoted(NASTY)) == NASTY
    assert tomllib.loads(f"x = {quoted(NASTY)}")["x"] == NASTY
    assert tomllib.loads(f'x = "{escaped(NASTY)}"')["x"] == NASTY
    assert "O'Brien" in quoted(NASTY)
    assert "漢字" in quoted(NASTY)


def test_text_stays_as_typed_in_the_generated_files(create: Create):
    texts = {"project_name": NASTY, "description": NASTY, "author_name": NASTY}
    for license_ in CHOICES["license"]:
        project = create(project_slug="pets", license=license_, **texts)
        assert_parses(project)
        assert_kept(project, texts)


def test_no_email_is_an_answer(create: Create):
    project = create(author_email="", author_name="A. Nonymous")
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["authors"] == [{"name": "A. Nonymous"}]


def test_two_versions_of_the_template_can_be_rendered_in_one_process(monkeypatch):
    # As `cruft update` does. The module must not stay, or the new version meets the old filters.
    import answers

    monkeypatch.setitem(sys.modules, Answers.__module__, answers)
    environment = Environment(extensions=[Answers], autoescape=False)  # noqa: S701
    assert Answers.__module__ not in sys.modules
    derived = environment.from_string(QUESTIONS["project_slug"])
    assert derived.render(cookiecutter={"project_name": "Torch"}) == "torch_project"
