"""A table of nasty answers, each with what becomes of it: one clear refusal, or a whole project.

Each row runs the real command. Text that is accepted must be read back from every file as typed.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from generate import cookiecutter
from kept import assert_kept, assert_parses


class Row(NamedTuple):
    """Answers, and either the reason they are refused for or the folder's name."""

    answers: dict[str, str]
    refused: str = ""
    folder: str = ""


def refused(reason: str, **answers: str) -> Row:
    return Row(answers, refused=reason)


def becomes(folder: str, **answers: str) -> Row:
    return Row(answers, folder=folder)


def kept(**answers: str) -> Row:
    return Row({"project_slug": "pets", **answers}, folder="pets")


TITLES = [
    refused("it is blank", project_name=""),
    refused("it is blank", project_name="   "),
    refused("it is blank", project_name="\u200d\u200b"),
    refused("no name could be derived from the title", project_name="🚀"),
    refused("no name could be derived from the title", project_name="{{}}"),
    refused("no name could be derived from the title", project_name="..."),
    refused("it has 10000 characters", project_name="x" * 10_000),
    refused("it holds the invisible character U+000A", project_name="one\ntwo"),
    refused("it holds the invisible character U+000D", project_name="one\rtwo"),
    refused("it holds the invisible character U+001B", project_name="\x1b[31mred"),
    refused("it holds the invisible character U+202E", project_name="a\u202eb"),
    refused("it holds the invisible character U+2066", project_name="a\u2066b"),
    refused("it holds the invisible character U+FEFF", project_name="a\ufeffb"),
    refused("it holds the invisible character U+2028", project_name="a\u2028b"),
    refused("it holds the invisible character U+0085", project_name="a\x85b"),
    becomes("project_3d_u_net_pets_v2", project_name="3D U-Net: pets (v2)"),
    becomes("class_project", project_name="class"),
    becomes("json_project", project_name="JSON"),
    becomes("torch_project", project_name="torch"),
    becomes("nul_project", project_name="NUL"),
    becomes("etc_passwd", project_name="../../etc/passwd"),
    becomes("c_windows", project_name="C:\\Windows"),
    becomes("strassen_wege", project_name="Straßen & Wege"),
    becomes("shen_du_xue_xi", project_name="深度学习"),
    becomes("glubokoe_obuchenie", project_name="Глубокое обучение"),
    becomes("a", project_name="A"),
    becomes("rm_rf", project_name="$(rm -rf /)"),
    becomes("rm_rf_echo", project_name="`rm -rf ~`; echo"),
    becomes("import_os", project_name="__import__('os')"),
    becomes("project_7_7", project_name="{{ 7*7 }}"),
    becomes("if_x", project_name="{% if x"),
    becomes("raw_endraw", project_name="{% raw %}{{{% endraw %}"),
    becomes("comment", project_name="{# comment"),
    becomes("if_false", project_name="#% if false"),
    becomes("title", project_name="# Title #"),
    becomes("false", project_name="false"),
    becomes("null", project_name="null"),
    becomes("project_1e3", project_name="1e3"),
    becomes("dashes", project_name="--- dashes"),
    becomes("no_input", project_name="--no-input"),
    becomes("b_tags_b_all", project_name="<b>tags</b> &amp; <!-- all"),
    becomes("o_brien_s_project", project_name="O'Brien's \"project\""),
]
FOLDERS = [
    refused("a folder name needs", project_slug="My Project"),
    refused("a folder name needs", project_slug="1st"),
    refused("a folder name needs", project_slug="."),
    refused("a folder name needs", project_slug=".."),
    refused("a folder name needs", project_slug=".hidden"),
    refused("a folder name needs", project_slug="-rf"),
    refused("a folder name needs", project_slug="../evil"),
    refused("a folder name needs", project_slug="a/b"),
    refused("a folder name needs", project_slug="a\\b"),
    refused("a folder name needs", project_slug="/root/evil"),
    refused("a folder name needs", project_slug="C:evil"),
    refused("a folder name needs", project_slug="what?"),
    refused("a folder name needs", project_slug="a<b>"),
    refused("a folder name needs", project_slug="naïve"),
    refused("a folder name needs", project_slug="{{cookiecutter.project_name}}"),
    refused("it has 300 characters", project_slug="x" * 300),
    refused("it is a word of the Python language", project_slug="lambda"),
    refused("it is a module of Python's standard library", project_slug="random"),
    refused("it is a module of Python's standard library", project_slug="distutils"),
    refused("it is a package that projects like this import", project_slug="numpy"),
    refused("it is a package that projects like this import", project_slug="scikit-learn"),
    refused("it is a part of the generated project", project_slug="executor"),
    refused("it is a device on Windows", project_slug="com1"),
    becomes("pets-2", project_slug="pets-2"),
    becomes("pets", project_slug="  pets "),
]
TEXTS = [
    kept(description=""),
    kept(description="'" * 3 + '"' * 3),
    kept(description="\\"),
    kept(description="C:\\new\\table \\u0041 \\x41"),
    kept(description="a: b - c # d, [e] {f} & *g !h |i >j %k @l"),
    kept(description="- item"),
    kept(description="```"),
    kept(description="<!-- the rest of the page"),
    kept(description="<script>alert(1)</script>"),
    kept(description="| a | b |"),
    kept(description="[link](javascript:alert(1)) ![x](y)"),
    kept(description="$HOME ${PATH} $(id) `id` %PATH% !! ~"),
    kept(description="{{ cookiecutter.author_name }} {% include '/etc/passwd' %}"),
    kept(description="#% set x = 1"),
    kept(description="١٢٣ שלום 한국어 e\u0301 👩\u200d🚀 \U0001f1eb\U0001f1ee"),
    kept(description="~ null yes 1e-3 0x1F 2026-01-01"),
    kept(description="x" * 500),
    refused("it has 501 characters", description="x" * 501),
    refused("it holds the invisible character U+0009", description="a\tb"),
    kept(author_name='Zoë "Z" O\'Brien-\\o/'),
    kept(author_name="= [tool] ="),
    kept(author_name="]]>"),
    refused("it is blank", author_name=" "),
    refused("it holds the invisible character U+0007", author_name="bell\x07"),
]
ADDRESSES = [
    kept(author_email=""),
    kept(author_email="a+b'c{d}|e@sub.example.org"),
    refused("it is no e-mail address", author_email="nobody"),
    refused("it is no e-mail address", author_email="a@b"),
    refused("it is no e-mail address", author_email="a b@example.com"),
    refused("it is no e-mail address", author_email="a@example..com"),
    refused("it is no e-mail address", author_email="<a@example.com>"),
    refused("it is no e-mail address", author_email="a@example.com, b@example.com"),
    refused("it is no e-mail address", author_email='"a"@example.com'),
    refused("it is no e-mail address", author_email="a@exämple.com"),
    refused("it has 261 characters", author_email="a" * 249 + "@example.com"),
]
CHOSEN = [
    kept(framework="Torch"),
    kept(framework="2"),
    kept(parts="all"),
    kept(parts=" Slurm ,oxford-pets,slurm"),
    kept(parts="NONE"),
    refused("it is blank", parts=""),
    refused("it names no part", parts=","),
    refused("there is no part 'slrum'", parts="slurm,slrum"),
    refused("there is no part '../evil'", parts="../evil"),
    refused("there is no part '1'", parts="{{ 1 }}"),
    refused("it holds the invisible character U+000A", parts="slurm\nframework=tensorflow"),
    refused("none stands alone", parts="none,slurm"),
    refused("torchx needs framework=pytorch", framework="tensorflow", parts="torchx"),
    kept(license="mit"),
    kept(license="NONE"),
    kept(python_version="Python 3.12"),
    kept(python_version="3.13.1"),
    refused("it is not offered", framework="jax"),
    refused("it is not offered", framework="3"),
    refused("it is blank", framework=""),
    refused("it is not offered", license="GPL-3.0"),
    refused("it is not offered", license="../../LICENSE"),
    refused("it is not offered", python_version="2.7"),
    refused("it is not offered", python_version="3"),
    refused("it is not offered", python_version="3.1"),
    refused("it is not offered", python_version="3.99"),
    refused("it is not offered", python_version="three"),
    refused("it is not offered", python_version="{{ 3 }}"),
]
TABLE = TITLES + FOLDERS + TEXTS + ADDRESSES + CHOSEN


def shown(row: Row) -> str:
    return ascii(row.answers)[:60]


@pytest.mark.parametrize("row", TABLE, ids=shown)
def test_a_nasty_answer(template: Path, tmp_path: Path, row: Row):
    output = tmp_path / "output"
    done = cookiecutter(template, output, **row.answers)
    if row.refused:
        assert done.returncode == 1
        assert done.stderr == ""
        assert row.refused in done.stdout
        assert f"Cannot use {list(row.answers)[-1]} = " in done.stdout or "derived" in row.refused
        assert "\nTry: " in done.stdout
        assert len(done.stdout.splitlines()) <= 3
        assert done.stdout.isascii()
        assert list(output.iterdir()) == []
    else:
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        shown = [line.split()[0] for line in done.stdout.splitlines() if line]
        assert shown == ["Next:", "cd", "python", "python"]
        assert [path.name for path in output.iterdir()] == [row.folder]
        assert_parses(output / row.folder)
        assert_kept(output / row.folder, row.answers)
