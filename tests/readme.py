"""Reads the pages as their readers do: what to type, what to copy, and what is said to exist."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


def pages(project: Path) -> dict[str, str]:
    """Return a project's README and the pages of its docs, by their path."""
    found = [project / "README.md", *sorted((project / "docs").glob("*.md"))]
    return {path.relative_to(project).as_posix(): path.read_text("utf-8") for path in found}


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page; those in lists stand further in."""
    return [Block(language, dedent(inner)) for language, inner in _FENCE.findall(text)]


def lines_to_type(text: str) -> str:
    """Return the first block of shell commands of a page."""
    return next(block.text for block in blocks(text) if block.language == "sh")


def section(pages: Mapping[str, str], heading: str) -> str:
    """Return what stands below the one heading of these words on all pages."""
    (found,) = [part for page in pages.values() for part in _parts(page) if part[0] == heading]
    return found[1].strip()


def _parts(page: str) -> Iterator[tuple[str, str]]:
    """Yield each heading of the second level with what stands below it."""
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        yield heading, text


def recipe(pages: Mapping[str, str], heading: str) -> dict[str, str]:
    """Return the blocks below a heading, one of each language."""
    found = blocks(section(pages, heading))
    assert len({block.language for block in found}) == len(found), heading
    return dict(found)


def spans(text: str) -> list[str]:
    """Return what stands in backticks outside of the fenced blocks."""
    return _INLINE.findall(_FENCE.sub("", text))


def links(text: str) -> list[str]:
    """Return the targets of links and pictures outside of the fenced blocks."""
    return _LINK.findall(_FENCE.sub("", text))


def anchors(text: str) -> Iterator[str]:
    """Yield the names under which GitHub links to the headings of a page."""
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
