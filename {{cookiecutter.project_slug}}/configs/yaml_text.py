"""Reads YAML text into plain values and remembers the line of each.

PyYAML follows YAML 1.1, where `1e-3` is a string, `no` is false, `12:30` is 750, `017` is 15 and
the last of two equal keys wins. Here scalars follow the core schema of YAML 1.2 (section 10.3), so
numbers are what they look like, and a key that stands twice is refused.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Origin:
    """Where a value was written."""

    source: str
    """A file's name, or "command line"."""
    line: int | None = None

    def __str__(self) -> str:
        """Return `file:line`, the form that editors and terminals make clickable."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration."""

    origin: Origin
    path: Path
    text: str


@dataclass
class Document:
    """Plain values with the origin of each; `problems` is what could not be read."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _CoreSchemaLoader(yaml.CSafeLoader):
    """A safe loader that knows null, booleans and decimal numbers, and nothing else."""


_CoreSchemaLoader.yaml_implicit_resolvers = {}  # those of YAML 1.1 are inherited otherwise
_PLAIN_TAGS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
for _tag, _pattern in (
    ("null", r"~|null|Null|NULL|"),
    ("bool", r"true|True|TRUE|false|False|FALSE"),
    ("int", r"[-+]?[0-9]+"),
    ("float", rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
):
    _matcher = re.compile(f"^({_pattern})$")
    _CoreSchemaLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _matcher, None)
_CoreSchemaLoader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def read_yaml(text: str, source: str) -> Document:
    """Parse YAML text whose outermost value is a mapping; `source` is its name in messages.

    Whatever is wrong stands in `problems`; nothing is raised.
    """
    document = Document()
    loader = _CoreSchemaLoader(text)
    line, problem = None, ""
    try:
        node = loader.get_single_node()
        if node is None:
            problem = "the file is empty; expected sections such as `train:`"
        elif isinstance(node, yaml.MappingNode):
            document.values = _Reader(loader, source, document).mapping(node, ())
        else:
            line = node.start_mark.line + 1
            kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
            problem = f"expected `key: value` lines, received {kind}"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        problem = f"this is not valid YAML: {error.problem or error.context}"
    except yaml.YAMLError as error:
        problem = f"this is not valid YAML: {error}"
    finally:
        loader.dispose()
    if problem:
        document.problems.append(Problem(Origin(source, line), (), problem))
    return document


def read_scalar(text: str) -> Any:
    """Read the value of an override such as `[a, b]`; a ValueError if it is no YAML value.

    A text is taken as it was typed: a `#` in it begins no comment.
    """
    if text.startswith(("&", "*", "!")):  # YAML takes the first word for itself
        raise ValueError(f"a text that begins with {text[0]!r} needs quotes in YAML: '{text}'")
    document = read_yaml(f"value: {text}", "command line")
    if document.problems or set(document.values) != {"value"}:
        raise ValueError(document.problems[0].text if document.problems else "more than one value")
    value = document.values["value"]
    if " #" not in text or (isinstance(value, str) and text[0] in "'\""):
        return value
    if not isinstance(value, str):
        raise ValueError("a # begins a comment in YAML; leave it out, or put a text into quotes")
    return text.strip()


class _Reader:
    """Turns one document's nodes into values, noting the line of each."""

    def __init__(self, loader: _CoreSchemaLoader, source: str, document: Document) -> None:
        self._loader = loader
        self._source = source
        self._document = document
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._document.origins[path] = self._origin(node)
        if node in self._open:
            self._problem(node, path, "this alias contains itself")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._loader.construct_object(node)
        if node.tag not in _PLAIN_TAGS:
            self._problem(node, path, f"the tag {node.tag} is not allowed here")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        finally:
            self._open.pop()

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self._problem(key_node, path, "a key must be a plain word")
            elif key == "<<":
                text = "merge keys (<<) are not read; write out what they would bring"
                self._problem(key_node, path, text)
            elif key in values:
                first = self._document.origins[(*path, key)].line
                text = f"this key stands here twice (first in line {first}); keep one"
                self._problem(key_node, (*path, key), text)
            else:
                values[key] = self.value(value_node, (*path, key))
                self._document.origins[(*path, key)] = self._origin(key_node)
        return values

    def _origin(self, node: yaml.Node) -> Origin:
        return Origin(self._source, node.start_mark.line + 1)

    def _problem(self, node: yaml.Node, path: Path, text: str) -> None:
        self._document.problems.append(Problem(self._origin(node), path, text))
