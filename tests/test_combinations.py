"""Combinations of choices and parts: the right tree, valid files, clean style and types.

The tests that come with a project are not run once more for each: all that they and the program
read is, byte for byte, what `test_generated_tests.py` runs them on, but for the oldest Python in
pyproject.toml. That is held here.
"""

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from answers import CHOICES, NEEDS, PARTS
from conftest import FRAMEWORKS, TASKS, Create
from kept import assert_parses
from strict import check_style, check_types

# Each licence and each version of Python beside the first of the other, for each project there is.
COMBINATIONS = [
    answers
    for answers in itertools.product(*CHOICES.values())
    if answers[2] == CHOICES["license"][0] or answers[3] == CHOICES["python_version"][0]
]
PROJECTS = list(itertools.product(FRAMEWORKS, TASKS))
# What may differ between two projects of one framework. Code, settings and tests are not among it.
ANSWERED = {
    *(".devcontainer/devcontainer.json", ".python-version", "CITATION.cff", "Dockerfile"),
    *("LICENSE", "README.md", "pyproject.toml"),
}


def contents(project: Path) -> dict[str, bytes]:
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and not path.parent.name.startswith("__")
    }


def about(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("framework", "task", "license_", "version"), COMBINATIONS)
def test_a_combination(create: Create, framework: str, task: str, license_: str, version: str):
    default = create(framework=framework, task=task)
    project = create(framework=framework, task=task, license=license_, python_version=version)
    expected, found = contents(default), contents(project)
    assert set(found) == set(expected) - ({"LICENSE"} if license_ == "none" else set())
    assert {name for name, text in found.items() if text != expected[name]} <= ANSWERED
    assert about(project)["tool"] == about(default)["tool"]
    assert_parses(project)
    check_style(project)


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "task"), PROJECTS)
def test_the_types_of_a_project(create: Create, framework: str, task: str):
    # No other choice changes what mypy reads: that is held above.
    check_types(create(framework=framework, task=task), framework)


# Each part alone and none of them; all together is what the tests of the project run on.
ALONE = [
    (framework, part)
    for framework in FRAMEWORKS
    for part in ("none", *PARTS)
    if NEEDS.get(part) in {None, ("framework", framework), ("task", TASKS[0])}
]
# What a part is recognised by. Where none of it is left, leaving the part out left no trace.
WORDS = {
    "determined": r"\bdetermined\b|detignore",
    "kubernetes": r"kubernetes|kubectl|\bpods?\b|JOB_COMPLETION_INDEX",
    "oxford_pets": r"oxford|mobilenet|\bpets?\b|\bdownload\.py|dataloader\.sources\.download",
    "slurm": r"slurm|sbatch|\bsrun\b|pyxis",
    "torchx": r"torchx|components\.py",
}
TASK_WORDS = {
    "segmentation": r"segmentation|\bmasks?\b|u-?net\b|(?<![a-z])iou|digit_?scenes|dice\b",
    "classification": r"a classification|convnet|mix_?up|cut_?mix|(?<![a-z])ece\b|class_?folders",
}


# Keras' own name of an argument that its layers take.
KERAS_WORDS = {"model/keras_layers.py"}


def mentions(project: Path, words: str) -> list[str]:
    """Return the files that have one of the words in their name or text, whatever its case."""
    pattern = re.compile(words, re.IGNORECASE)
    return sorted(
        name
        for name, content in contents(project).items()
        if pattern.search(name) or pattern.search(content.decode("utf-8", "replace"))
    )


@pytest.mark.parametrize(("framework", "task"), PROJECTS)
def test_a_project_has_no_word_of_another_task(create: Create, framework: str, task: str):
    project = create(framework=framework, task=task, parts="all")
    assert mentions(project, TASK_WORDS[task])
    for other in set(TASKS) - {task}:
        assert {*mentions(project, TASK_WORDS[other])} - KERAS_WORDS == set()


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_leaves_no_trace(create: Create, framework: str, part: str):
    assert mentions(create(framework=framework, parts="none"), WORDS[part]) == []
    if (framework, part) in ALONE:
        assert mentions(create(framework=framework, parts=part), WORDS[part]) != []


@pytest.mark.parametrize(("framework", "part"), ALONE)
def test_each_part_alone(create: Create, framework: str, part: str):
    project = create(framework=framework, parts=part)
    bare = contents(create(framework=framework, parts="none"))
    found = contents(project)
    assert bare.keys() <= found.keys()
    assert {name for name in bare if bare[name] != found[name]} <= ANSWERED
    assert_parses(project)
    check_style(project)


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "part"), ALONE)
def test_the_types_of_each_part_alone(create: Create, framework: str, part: str):
    check_types(create(framework=framework, parts=part), framework)
