"""Lists every setting with its key, type, default and meaning, as `--help` shows them."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from configs.show import schema

_COMPONENT = "#/$defs/Component"
_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "keys and values",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "greater than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def settings(width: int) -> str:
    """Return a paragraph for each setting, in lines of at most `width` characters.

    A key or type that is longer stands on a longer line.
    """
    described = schema()
    lines = ["settings, each with its type and what holds where no file states it:"]
    for key, field in _fields(described, described["$defs"], ""):
        default = f"default {_plain(field['default'])}" if "default" in field else "required"
        lines += _wrapped(f"  {key}: {_typed(field)}; {default}", width, "    ")
        for paragraph in field["description"].split("\n\n"):
            lines += _wrapped(f"      {paragraph}", width, "      ")
    return "\n".join(lines)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Break a text into lines; all but the first are indented."""
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _fields(
    section: dict[str, Any], sections: dict[str, Any], above: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, field) of everything below a section; sections within in their place."""
    for name, field in section["properties"].items():
        key = f"{above}{name}"
        choices = (field, *field.get("anyOf", []))
        inner = [c["$ref"] for c in choices if "$ref" in c and c["$ref"] != _COMPONENT]
        if not inner or "anyOf" in field:
            yield key, field
        for section_name in inner:
            yield from _fields(sections[section_name.rpartition("/")[2]], sections, f"{key}.")


def _typed(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_typed(choice) for choice in field["anyOf"])
    if "$ref" in field:
        return "name or target" if field["$ref"] == _COMPONENT else "the keys below"
    if "enum" in field:
        return ", ".join(_plain(value) for value in field["enum"])
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])}: {_typed(field['prefixItems'][0])}"
    if field["type"] == "array":
        return f"list of: {_typed(field['items'])}"
    bounds = [f"{word} {field[name]:g}" for name, word in _BOUNDS.items() if name in field]
    return " ".join([_TYPES[field["type"]], " and ".join(bounds)]).rstrip()


def _plain(value: Any) -> str:
    """Return a default as one would write it in YAML."""
    if isinstance(value, dict) and set(value) == {"target"}:
        return str(value["target"])
    if isinstance(value, list):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return value if isinstance(value, str) else json.dumps(value)
