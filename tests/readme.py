"""Reads the READMEs as their readers do: what to type, what to copy, and what is said to exist."""

import re
from collections.abc import Iterator
from textwrap import dedent
from typing import NamedTuple

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LEAD = re.compile(r"^\*\*(.+?)\*\*", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page; those in lists stand further in."""
    return [Block(language, dedent(inner)) for language, inner in _FENCE.findall(text)]


def lines_to_type(text: str) -> str:
    """Return the first block of shell commands of a page."""
    return next(block.text for block in blocks(text) if block.language == "sh")


def recipe(text: str, words: str) -> dict[str, str]:
    """Return the blocks, by language, of the paragraph whose bold lead holds some words."""
    leads = list(_LEAD.finditer(text))
    ends = [lead.start() for lead in leads[1:]] + [len(text)]
    (found,) = [text[a.end() : b] for a, b in zip(leads, ends, strict=True) if words in a[1]]
    return dict(blocks(found))


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
