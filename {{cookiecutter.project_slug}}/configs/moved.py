"""What version 0.1 wrote in another way, so that an older YAML file gets a message that helps."""

from collections.abc import Iterator
from typing import Any

from configs.yaml_text import Path
from utils.storage import PROJECT

_SOURCES = PROJECT / "dataloader" / "sources"
# A removed key, or a removed value of a key, and what to do now.
_REMOVED = {
    "executor.compile=auto": "'auto' was removed; write true to compile, or leave it out",
}


def removed(path: Path, value: Any) -> str | None:
    """Return what to do about a key or value that the schema refuses, if it is an old one."""
    key = ".".join(map(str, path))
    return _REMOVED.get(key) or _REMOVED.get(f"{key}={value}")


def moved_targets(values: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield (path, message) for each target whose module has another name now."""
    if isinstance(values, str):
        module, colon, _ = values.partition(":")
        package, _, name = module.partition(".")
        if colon and package == "dataloader" and (_SOURCES / f"{name}.py").is_file():
            now = values.replace("dataloader.", "dataloader.sources.", 1)
            yield path, f"{values!r} moved; write {now!r}"
    elif isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from moved_targets(value, (*path, key))
