"""What sources of image files share: sizes, channels, class names, splits by name, fingerprints."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ops.images import MODES
from utils.errors import UserError
from utils.storage import is_remote

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")
One = TypeVar("One")


def checked_class_names(class_names: object, most: int) -> tuple[str, ...]:
    """Return class names as a tuple; a UserError refuses all but 1 to `most` different texts."""
    if isinstance(class_names, str) or not isinstance(class_names, list | tuple):
        raise UserError(f"class_names must be a list of names. Received: {class_names!r}")
    names = tuple(str(name) for name in class_names)
    if not 1 <= len(names) <= most or len(set(names)) < len(names):
        raise UserError(
            f"class_names must hold 1 to {most} different names. Received: {list(names)}"
        )
    return names


def checked_size(image_size: object) -> tuple[int, int]:
    """Return (height, width); one number is a square. A UserError refuses anything else."""
    sides: Sequence[object] = (
        image_size if isinstance(image_size, list | tuple) else (image_size, image_size)
    )
    if len(sides) == 2 and all(type(side) is int and side >= 1 for side in sides):
        return sides[0], sides[1]  # type: ignore[return-value]
    raise UserError(
        "image_size must be a number of pixels, or [height, width], each at least 1. "
        f"Received: {image_size!r}"
    )


def checked_channels(channels: int) -> int:
    """Return how many channels images have; a UserError refuses all but 1, 3 and 4."""
    if channels not in MODES:
        known = ", ".join(f"{count} ({mode})" for count, mode in MODES.items())
        raise UserError(f"channels must be one of {known}. Received: {channels!r}")
    return channels


def checked_shares(validation: float, test: float) -> tuple[float, float]:
    """Return the shares of files to validate and to test on, if both leave some to train on."""
    if validation >= 0 and test >= 0 and validation + test < 1:
        return validation, test
    raise UserError(
        "validation and test must be shares of at least 0 that leave something to train on. "
        f"Received: validation: {validation}, test: {test}"
    )


def divided(
    samples: Sequence[One], name_of: Callable[[One], str], validation: float, test: float
) -> dict[str, list[One]]:
    """Divide samples over the splits: a sample's name alone decides, so it stays where it is.

    The shares are therefore approximate. The samples of a split are in the order of their names.
    """
    ranked = sorted(samples, key=lambda sample: fraction_of(name_of(sample)))
    places = [fraction_of(name_of(sample)) for sample in ranked]
    ends = [sum(place < end for place in places) for end in (test, test + validation)]
    # Of very few files none may fall into a split that is wanted; then the nearest ones do.
    ends[0] = max(ends[0], int(test > 0 and len(samples) > 2))
    ends[1] = max(ends[1], ends[0] + int(validation > 0 and len(samples) > 1))
    ends = [min(end, len(samples) - 1) for end in ends]
    parts = {"test": ranked[: ends[0]], "validation": ranked[ends[0] : ends[1]]}
    parts["train"] = ranked[ends[1] :]
    return {name: sorted(part, key=name_of) for name, part in parts.items()}


def fraction_of(name: str) -> float:
    """Return a number in [0, 1) that depends on nothing but a name, for splits that last."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / (1 << 48)


def stamp_of_files(paths: Iterable[str], *settings: Any) -> str:
    """Return a text that changes when a file is replaced, comes or goes, or a setting differs.

    Local files count by size and time of change, others by what their storage says about them.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for path in paths:
        try:
            status = None if is_remote(path) else os.stat(path)
            stamp = f"{status.st_size}|{status.st_mtime_ns}" if status else _remote_stamp(path)
        except FileNotFoundError:  # whether a sample may lack a file is decided when it is read
            stamp = "missing"
        digest.update(f"{path}|{stamp}".encode())
    return digest.hexdigest()


def _remote_stamp(path: str) -> str:
    from fsspec.core import url_to_fs

    filesystem, inner = url_to_fs(path)
    info = filesystem.info(inner)
    kept = ("size", "ETag", "etag", "LastModified", "last_modified", "mtime", "created")
    return repr([(key, str(info[key])) for key in kept if key in info])
