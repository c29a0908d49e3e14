"""Shows the configuration to people, to editors and to other programs."""

import ast
import inspect
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

import configs.schema
from configs.loading import Loaded, load
from configs.schema import CFG
from configs.yaml_text import Path

_ONE_LINE: dict[str, Any] = {"default_flow_style": True, "sort_keys": False, "width": 10**6}


def resolved(path: str | None, overrides: Sequence[str]) -> str:
    """Return the configuration as YAML, each value with where it came from behind it."""
    loaded = load(path, overrides)
    lines = list(_lines(loaded.cfg.model_dump(mode="json"), (), loaded))
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:<{width}}  # {origin}" if origin else line for line, origin in lines)


def as_json(path: str | None, overrides: Sequence[str]) -> str:
    """Return `values`, the whole configuration, and `origins`, where each key's value came from."""
    loaded = load(path, overrides)
    values = loaded.cfg.model_dump(mode="json")
    origins = {".".join(map(str, key)): str(loaded.origin(key)) for key in _keys(values)}
    return json.dumps({"values": values, "origins": origins}, indent=2)


def schema() -> dict[str, Any]:
    """Return the JSON schema of the YAML files, each setting with its meaning."""
    described = CFG.model_json_schema()
    for section in (described, described["$defs"]["Data"]):
        section.pop("required", None)  # `default.yaml` states it
    for section in (described, *described["$defs"].values()):
        for name, text in _meanings(section["title"]).items():
            section["properties"][name]["description"] = text
    return described


def _meanings(section: str) -> dict[str, str]:
    """Return the line of meaning below each field of a class in `configs/schema.py`.

    Pydantic can do this itself (`use_attribute_docstrings`), but then reads the source at every
    start, for a tenth of the time that `main.py config` takes.
    """
    tree = ast.parse(inspect.getsource(getattr(configs.schema, section)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }


def _keys(values: dict[str, Any], above: Path = ()) -> Iterator[Path]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _keys(value, (*above, key))
        else:
            yield (*above, key)


def _lines(value: dict[str, Any], path: Path, loaded: Loaded) -> Iterator[tuple[str, str]]:
    indent = "  " * len(path)
    for key, inner in value.items():
        here = (*path, key)
        if isinstance(inner, dict) and inner:
            yield f"{indent}{key}:", ""
            yield from _lines(inner, here, loaded)
        else:
            flow = yaml.dump(inner, Dumper=yaml.CSafeDumper, **_ONE_LINE)
            text = flow.removesuffix("\n").removesuffix("\n...")
            yield f"{indent}{key}: {text}", str(loaded.origin(here))
