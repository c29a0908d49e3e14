"""Lays one configuration over another: files state only what differs, the command line wins."""

from collections.abc import Sequence
from typing import Any

from configs.yaml_text import Document, Origin, Path, Problem, read_scalar

_COMMAND_LINE = Origin("command line")


def lay_over(base: Document, top: Document) -> Document:
    """Return `base` with everything that `top` states in its place.

    Mappings are merged key by key; everything else, lists too, is replaced. A component (a mapping
    with `target`) whose target changes starts anew: arguments of the old target are dropped.
    """
    result = Document(dict(base.values), dict(base.origins), [*base.problems, *top.problems])
    _merge(result.values, top.values, result, top, ())
    return result


def parse_overrides(overrides: Sequence[str]) -> Document:
    """Read `key.path=value` words of the command line into a document.

    The value is YAML: `train.epochs=3`, `train.optimizer=sgd`, `model.widths=[16, 32]`. Of two
    words for one key the later one counts.
    """
    document = Document()
    for word in overrides:
        key, equals, text = word.partition("=")
        parts = key.split(".")
        if not equals or not all(parts):
            message = f"expected key.path=value, received {word!r}; for example train.epochs=3"
            document.problems.append(Problem(_COMMAND_LINE, (), message))
            continue
        try:
            _set(document, parts, read_scalar(text))
        except UnicodeError:
            message = f"{word!r} is no text in UTF-8, which settings must be"
            document.problems.append(Problem(_COMMAND_LINE, tuple(parts), message))
        except ValueError as error:
            message = f"the value of {word!r} cannot be read: {error}"
            document.problems.append(Problem(_COMMAND_LINE, tuple(parts), message))
    return document


def _set(document: Document, parts: list[str], value: Any) -> None:
    values = document.values
    for depth, part in enumerate(parts[:-1]):
        inner = values.setdefault(part, {})
        if isinstance(inner, str):  # train.optimizer=sgd train.optimizer.momentum=0.9
            inner = values[part] = {"target": inner}
        if not isinstance(inner, dict):
            message = f"{'.'.join(parts[: depth + 1])} was already given a value without keys"
            document.problems.append(Problem(_COMMAND_LINE, tuple(parts), message))
            return
        values = inner
    last = parts[-1]
    if isinstance(values.get(last), dict) and isinstance(value, str):
        value = {"target": value, **values[last]}
    values[last] = value
    _mark(document, tuple(parts), value)


def _mark(document: Document, path: Path, value: Any) -> None:
    """Note the command line as the origin of a value and of the keys below it."""
    document.origins[path] = _COMMAND_LINE
    for key, inner in value.items() if isinstance(value, dict) else ():
        _mark(document, (*path, key), inner)


def _merge(
    base: dict[str, Any], top: dict[str, Any], result: Document, source: Document, path: Path
) -> None:
    for key, value in top.items():
        here = (*path, key)
        old = base.get(key)
        if isinstance(old, dict) and "target" in old and isinstance(value, str):
            value = {"target": value}
        if isinstance(old, str) and isinstance(value, dict) and "target" not in value:
            old = {"target": old}
        target = old.get("target") if isinstance(old, dict) else None
        if target and isinstance(value, dict) and value.get("target", target) != target:
            old = None
        if isinstance(old, dict) and isinstance(value, dict):
            base[key] = dict(old)
            _merge(base[key], value, result, source, here)
        else:
            base[key] = value
            result.origins = {p: o for p, o in result.origins.items() if p[: len(here)] != here}
        for place, origin in source.origins.items():
            if place[: len(here)] == here:
                result.origins[place] = origin
