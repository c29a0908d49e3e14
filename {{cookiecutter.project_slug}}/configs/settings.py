"""Lists every setting with its key, type, default and meaning, as `--help` shows them."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from configs.show import schema

_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "keys and values",
    "null": "null",
}
_BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "greater than"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "less than"),
)


def settings(width: int) -> str:
    """Return a paragraph for each setting.

    Args:
        width: Characters of a line at most; a key or type that is longer stands on a longer one.
    """
    described = schema()
    lines = ["settings, each with its type and what holds where no file states it:"]
    for key, field in _fields(described, described["$defs"], ""):
        head = f"{key}: {_typed(field)}{_default(field)}"
        lines += _wrapped(head, width, "  ", "    ")
        for paragraph in field["description"].split("\n\n"):
            lines += _wrapped(paragraph, width, "      ", "      ")
    return "\n".join(lines)


def _wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _fields(
    section: dict[str, Any], sections: dict[str, Any], above: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, field) of everything below a section; sections within in their place."""
    for name, field in section["properties"].items():
        key = f"{above}{name}"
        inner = _section_of(field)
        is_section = inner is not None and inner != "Component"
        if not is_section or "anyOf" in field:
            yield key, field
        if is_section:
            yield from _fields(sections[str(inner)], sections, f"{key}.")


def _section_of(field: dict[str, Any]) -> str | None:
    """Return the name of the section that a field is, or may be."""
    for choice in (field, *field.get("anyOf", [])):
        if "$ref" in choice:
            return str(choice["$ref"]).rpartition("/")[2]
    return None


def _typed(field: dict[str, Any]) -> str:
    """Return a type in words."""
    if "anyOf" in field:
        return " or ".join(_typed(choice) for choice in field["anyOf"])
    if "$ref" in field:
        name = _section_of(field)
        return "name or target" if name == "Component" else "the keys below"
    if "enum" in field:
        return ", ".join(
            value if isinstance(value, str) else json.dumps(value) for value in field["enum"]
        )
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])}: {_typed(field['prefixItems'][0])}"
    if field["type"] == "array":
        return f"list of: {_typed(field['items'])}"
    bounds = [f"{word} {field[name]:g}" for name, word in _BOUNDS if name in field]
    return " ".join([_TYPES[field["type"]], " and ".join(bounds)]).rstrip()


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return "; required"
    return f"; default {_plain(field['default'])}"


def _plain(value: Any) -> str:
    """Return a default as one would write it in YAML."""
    if isinstance(value, dict) and set(value) == {"target"}:
        return str(value["target"])
    if isinstance(value, list):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return value if isinstance(value, str) else json.dumps(value)
