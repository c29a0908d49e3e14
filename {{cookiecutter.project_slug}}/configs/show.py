"""Shows the configuration to people and to editors."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from configs.loading import Loaded, load
from configs.schema import CFG
from configs.yaml_text import Path

_INDENT = "  "


def resolved(path: str | None, overrides: Sequence[str]) -> str:
    """Return the whole configuration as YAML, each value with where it came from behind it.

    Raises:
        UserError: See `configs.loading.load`.
    """
    loaded = load(path, overrides)
    lines = list(_lines(loaded.cfg.model_dump(mode="json"), (), loaded))
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:<{width}}  # {origin}" if origin else line for line, origin in lines)


def schema() -> str:
    """Return the JSON schema of the YAML files, for `configs/schema.json`."""
    text = CFG.model_json_schema()
    return json.dumps(text, indent=2)


def _lines(value: dict[str, Any], path: Path, loaded: Loaded) -> Iterator[tuple[str, str]]:
    """Yield (line of YAML, origin) for everything below a mapping."""
    indent = _INDENT * len(path)
    for key, inner in value.items():
        here = (*path, key)
        if isinstance(inner, dict) and inner:
            yield f"{indent}{key}:", ""
            yield from _lines(inner, here, loaded)
        else:
            flow = yaml.safe_dump(inner, default_flow_style=True, sort_keys=False, width=10**6)
            text = flow.removesuffix("\n").removesuffix("\n...")
            yield f"{indent}{key}: {text}", str(loaded.origin(here))
