"""Loads the configuration: default.yaml, a file that states what differs, then the command line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from configs.constraints import pair_problems
from configs.overlay import lay_over, parse_overrides
from configs.schema import CFG
from configs.yaml_text import Document, Origin, Path, Problem, read_yaml
from utils import storage
from utils.errors import UserError
from utils.names import did_you_mean

DEFAULT_CONFIG = storage.resolve("configs/default.yaml")
_BUILT_IN = Origin("built-in default")
Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True)
class Loaded:
    """A checked configuration, and where each of its values came from."""

    cfg: CFG
    origins: Mapping[Path, Origin]

    def origin(self, path: Path) -> Origin:
        """Return where a value came from; `loss: mine` is where `loss.target` came from."""
        if path not in self.origins and path[-1] == "target":
            path = path[:-1]
        return self.origins.get(path, _BUILT_IN)


def load_config(path: str | None = None, overrides: Sequence[str] = ()) -> CFG:
    """Return the configuration, having imported and checked every target in it; see `load`."""
    return _checked(_stated(path, overrides))


def load(path: str | None = None, overrides: Sequence[str] = ()) -> Loaded:
    """Load a configuration and check it without importing what it names.

    The file (local or a URL) states what differs from `configs/default.yaml`; the overrides are
    `key.path=value` words, which win over both.

    Raises:
        UserError: Naming everything that is wrong, each with file, line and key.
    """
    document = _stated(path, overrides)
    return Loaded(_checked(document, with_targets=False), document.origins)


def load_complete(path: str, overrides: Sequence[str] = ()) -> CFG:
    """Load a file that states everything itself, as a run's `config.yaml` does."""
    return _checked(lay_over(_read(path), parse_overrides(overrides)))


def load_section(path: str, schema: type[Settings], overrides: Sequence[str] = ()) -> Settings:
    """Load a file of its own that a part of the project is set with; see `load`."""
    document = lay_over(_read(path), parse_overrides(overrides))
    _refuse(_type_problems(document.values, schema), document)
    return schema.model_validate(document.values)


def to_yaml(cfg: CFG) -> str:
    """Return a configuration as YAML that `load_complete` reads back to an equal one."""
    return yaml.safe_dump(cfg.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(path: str) -> Document:
    return read_yaml(storage.read_text(path), storage.shown(path))


def _stated(path: str | None, overrides: Sequence[str]) -> Document:
    document = _read(DEFAULT_CONFIG)
    if path is not None and path != DEFAULT_CONFIG:
        document = lay_over(document, _read(path))
    return lay_over(document, parse_overrides(overrides))


def _checked(document: Document, with_targets: bool = True) -> CFG:
    """Return the configuration; everything that is wrong is in one message."""
    found = list(_type_problems(document.values, CFG))
    try:
        cfg = CFG.model_validate(_without(document.values, [path for path, _ in found]))
    except ValidationError:  # what is left needs what was taken out
        _refuse(found, document)
        raise
    found += pair_problems(cfg)
    if with_targets:
        from configs.targets import places, target_problems  # not needed to show a configuration

        wrong = [path for path, _ in found]
        for place in places(cfg):
            problems = target_problems(place)
            found += [p for p in problems if not any(p[0][: len(w)] == w for w in wrong)]
    _refuse(found, document)
    return cfg


def _refuse(found: Iterable[tuple[Path, str]], document: Document) -> None:
    """Raise a UserError that names everything that is wrong, if anything is."""
    problems = list(document.problems)
    problems += [Problem(_nearest(document.origins, path), path, text) for path, text in found]
    if not problems:
        return
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"the configuration has {count}:"]
    for problem in sorted(problems, key=lambda p: (p.origin.source, p.origin.line or 0)):
        key = ".".join(str(part) for part in problem.path)
        lines.append(f"  {problem.origin}: {key}{': ' if key else ''}{problem.text}")
    raise UserError("\n".join(lines))


def _type_problems(values: dict[str, Any], schema: type[BaseModel]) -> Iterator[tuple[Path, str]]:
    try:
        schema.model_validate(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = tuple(detail["loc"])
            yield path, _explain(detail, path, schema)


def _explain(detail: Mapping[str, Any], path: Path, schema: type[BaseModel]) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return f"the key {path[-1]!r} is missing here"
    if kind == "extra_forbidden":
        names = _fields_at(path[:-1], schema)
        hint = did_you_mean(str(path[-1]), names) or f"; known: {', '.join(names)}"
        return f"unknown key {path[-1]!r}{hint}"
    expected = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "string_type": "a text (quote it if it looks like a number)",
        "string_too_short": "a text that is not empty",
        "list_type": "a list such as [a, b]",
        "tuple_type": "a list such as [a, b]",
        "model_type": "keys below it, one in a line",
        "literal_error": f"one of {context.get('expected')}",
        "greater_than_equal": f"at least {context.get('ge')}",
        "greater_than": f"greater than {context.get('gt')}",
        "less_than_equal": f"at most {context.get('le')}",
        "less_than": f"less than {context.get('lt')}",
        "finite_number": "a finite number",
    }.get(kind)
    received = "nothing" if value is None else repr(value)
    received = received if len(received) <= 60 else received[:57] + "..."
    return f"{f'expected {expected}' if expected else detail['msg']}, received {received}"


def _fields_at(path: Path, model: type[BaseModel]) -> list[str]:
    """Return the keys that the schema knows at a place."""
    for part in path:
        if isinstance(part, int):  # the items of a list have one type
            continue
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        candidates = [annotation, *get_args(annotation)]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)


def _without(values: Any, paths: Sequence[Path]) -> Any:
    """Return a copy without the values at the given paths; an item takes its list along."""
    if not isinstance(values, dict):
        return values
    gone = {path[0] for path in paths if len(path) == 1}
    lists = {path[0] for path in paths if isinstance(values.get(str(path[0])), list)}
    return {
        key: _without(value, [path[1:] for path in paths if path[0] == key and len(path) > 1])
        for key, value in values.items()
        if key not in gone and key not in lists
    }


def _nearest(origins: Mapping[Path, Origin], path: Path) -> Origin:
    """Return where a path was written, or else the nearest thing around it."""
    while path not in origins and path:
        path = path[:-1]
    return origins.get(path, _BUILT_IN)
