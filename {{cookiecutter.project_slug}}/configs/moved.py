"""What version 0.1 wrote in another way, so that an older YAML file gets a message that helps."""

from collections.abc import Iterator
from typing import Any

from configs.yaml_text import Path
from utils.errors import UserError

_MODULES = {
    "dataloader.digit_scenes": "dataloader.sources.digit_scenes",
    "dataloader.folder": "dataloader.sources.folder",
    "dataloader.oxford_pets": "dataloader.sources.oxford_pets",
}
# A removed key, or a removed value of a key, and what to do now.
_REMOVED = {
    "executor.compile=auto": "'auto' was removed; write true to compile, or leave it out",
}


class OutdatedError(UserError):
    """A configuration that holds something which only an older version of the project knows."""


def outdated_problems(values: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield (path, message) for each target that moved and each key or value that was removed."""
    key = ".".join(map(str, path))
    text = _REMOVED.get(key) or _REMOVED.get(f"{key}={values}")
    if text is not None:
        yield path, text
    elif isinstance(values, str):
        module, _, name = values.partition(":")
        if name and module in _MODULES:
            yield path, f"{values!r} moved; write '{_MODULES[module]}:{name}'"
    elif isinstance(values, dict | list):
        for part, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from outdated_problems(value, (*path, part))
