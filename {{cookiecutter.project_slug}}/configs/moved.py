"""What version 0.1 wrote in another way, so that an older YAML file gets a message that helps."""

from collections.abc import Iterator
from typing import Any

from configs.yaml_text import Path

_MODULES = {
    "dataloader.digit_scenes": "dataloader.sources.digit_scenes",
    "dataloader.folder": "dataloader.sources.folder",
    "dataloader.oxford_pets": "dataloader.sources.oxford_pets",
}
# A removed key, or a removed value of a key, and what to do now.
_REMOVED = {
    "executor.compile=auto": "'auto' was removed; write true to compile, or leave it out",
}


def removed(path: Path, value: Any) -> str | None:
    """Return what to do about a key or value that the schema refuses; None if it is not old."""
    key = ".".join(map(str, path))
    return _REMOVED.get(key) or _REMOVED.get(f"{key}={value}")


def moved_targets(values: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield (path, message) for each target whose module has another name now."""
    if isinstance(values, str):
        module, _, name = values.partition(":")
        if name and module in _MODULES:
            yield path, f"{values!r} moved; write '{_MODULES[module]}:{name}'"
    elif isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from moved_targets(value, (*path, key))
