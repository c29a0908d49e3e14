"""Reads the answers back from a generated project, as each format's own readers would.

What a person typed must come out of every file letter for letter, and must not change how anything
else in the file is read.
"""

import functools
import itertools
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import yaml
from markdown_it import MarkdownIt

# A quoted value of a Dockerfile: a backslash takes what follows as it is.
_LABEL = re.compile(r'^LABEL org\.opencontainers\.image\.(\w+)="((?:[^"\\]|\\.)*)"$', re.MULTILINE)


def assert_parses(project: Path) -> None:
    """Read every file of a project by its format's parser."""
    for path in sorted(project.rglob("*")):
        if path.is_file() and path.suffix not in (".png", ".pyc"):
            text = path.read_text(encoding="utf-8")
            _parse(path.suffix, text)
            if path.name == "README.md":
                # No title and no description hides what follows, or becomes part of it.
                assert headings(text)[1:3] == ["Start", "Commands"]
                assert headings(text)[-1] == "Read on"


@functools.cache  # most files are the same in all projects
def _parse(suffix: str, text: str) -> None:
    if suffix == ".toml":
        tomllib.loads(text)
    elif suffix in {".yaml", ".yml", ".cff"}:
        assert isinstance(yaml.safe_load(text), dict)
    elif suffix in {".json", ".ipynb"}:
        json.loads(text)
    elif suffix == ".py":
        compile(text, "a generated file", "exec")


def headings(page: str) -> list[str]:
    """Return the headings that a reader of a Markdown page sees, each as its source text."""
    tokens = MarkdownIt().parse(page)
    return [
        inner.content
        for outer, inner in itertools.pairwise(tokens)
        if outer.type == "heading_open" and outer.level == 0  # not one in the quoted description
    ]


def assert_kept(project: Path, answers: Mapping[str, str]) -> None:
    """Find each free text among the answers in every file that shows it."""
    for field in ("project_name", "description", "author_name", "author_email"):
        if field in answers:
            for place, text in shown(project, field).items():
                assert text == answers[field].strip(), f"{field} in {place}"


def shown(project: Path, field: str) -> dict[str, str]:
    """Return what each file of a project says for a free text, nothing if it leaves it out."""
    page, docker, security = (
        (project / name).read_text(encoding="utf-8")
        for name in ("README.md", "Dockerfile", "SECURITY.md")
    )
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = {name: re.sub(r"\\(.)", r"\1", text) for name, text in _LABEL.findall(docker)}
    cited = yaml.safe_load((project / "CITATION.cff").read_text(encoding="utf-8"))
    container = json.loads((project / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    places: dict[str, dict[str, str]] = {
        "project_name": {
            "README.md": page.splitlines()[0].removeprefix("# "),
            "Dockerfile": labels["title"],
            "CITATION.cff": cited["title"],
            "devcontainer.json": container["name"],
        },
        "description": {
            "README.md": found(r"\A.*\n\n> (.*)\n\nA deep-learning project in ", page),
            "pyproject.toml": about["description"],
            "Dockerfile": labels["description"],
            "CITATION.cff": cited.get("abstract", ""),
        },
        "author_name": {
            "pyproject.toml": about["authors"][0]["name"],
            "Dockerfile": labels["authors"],
            "CITATION.cff": cited["authors"][0]["name"],
        },
        "author_email": {
            "pyproject.toml": about["authors"][0].get("email", ""),
            "CITATION.cff": cited["authors"][0].get("email", ""),
            "SECURITY.md": found(r"^Write to <(.*)>\.$", security),
        },
    }
    if (project / "LICENSE").exists():
        licence = (project / "LICENSE").read_text(encoding="utf-8")
        author = found(r"^(?:Copyright \(c\)|   Copyright) (.*)$", licence)
        places["author_name"]["LICENSE"] = author
    return places[field]


def found(pattern: str, text: str) -> str:
    """Return what a pattern captures in a text, nothing if it is not there."""
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""
