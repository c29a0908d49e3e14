"""Decodes every sample once: later epochs gather from uint8 arrays in memory or on disk."""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dataloader.decode import Progress, Reading
from dataloader.sample import Split
from utils.errors import UserError
from utils.logs import log
from utils.memory import available_memory

_FORMAT = 2  # raise it when files of an older version must not be reused
_RECORD = "record.json"
_CHECK_BYTES = 1 << 24  # how much of a file is read at once to check it


@dataclass(frozen=True)
class Decoded:
    """A split as arrays; they may be read-only maps of files."""

    images: np.ndarray
    """uint8 [N, h, w, 3]."""
    masks: np.ndarray
    """uint8 [N, h, w]."""
    names: tuple[str, ...]
    """The samples' names for people."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return (self.images.nbytes + self.masks.nbytes) // len(self)

    def first(self, count: int) -> "Decoded":
        """Return the first samples, at most all."""
        return Decoded(self.images[:count], self.masks[:count], self.names[:count])


def decode(
    split: Split,
    size: tuple[int, int],
    workers: int = 0,
    cache: Literal["auto", "memory", "disk"] = "auto",
    directory: str | None = None,
    key: Callable[[], str] | None = None,
    progress: Progress | None = None,
    num_classes: int | None = None,
    may_skip: int = 0,
    title: str = "split",
) -> Decoded:
    """Decode a whole split, resized.

    A bad sample is one that the split refuses with a UserError, or whose mask holds a label out of
    range. Whatever else a source does wrong is a mistake in its code and always an error.

    Args:
        split: The samples.
        size: (height, width) in pixels.
        workers: Threads that decode; 0 decodes in this thread.
        cache: Where the arrays go. "auto": into memory if they fit in half of what is available.
        directory: A local folder for arrays on disk. The next run finds them there, checks them
            and reuses them; made when needed. None: a new temporary folder.
        key: Returns what the content depends on besides the size: the source's fingerprint and the
            split. Called only for arrays on disk, since it may look at every file.
        progress: Called now and then, from this thread.
        num_classes: Checks that each mask holds nothing but 0 to num_classes - 1 and IGNORE_INDEX.
        may_skip: How many bad samples are left out, with a warning for each; 0: none, the first
            one is an error.
        title: What to call the split in messages.

    Returns:
        The arrays, in the split's order, without what was left out.

    Raises:
        UserError: If more samples are bad than may be, none is left, or the disk is full.
    """
    if not len(split):
        raise UserError(f"The {title} is empty. Expected: at least one sample.")
    reading = Reading(split, size, num_classes, may_skip, title)
    images_shape = (len(split), *size, 3)
    if cache == "memory" or (cache == "auto" and _fits_in_memory(images_shape)):
        images = np.empty(images_shape, dtype=np.uint8)
        masks = np.empty(images_shape[:3], dtype=np.uint8)
        return _without(reading.fill(images, masks, workers, progress), images, masks, reading)
    content = (_FORMAT, key and key(), images_shape, may_skip)
    name = hashlib.sha256(repr(content).encode()).hexdigest()[:24]
    folder = Path(directory or tempfile.mkdtemp(prefix="decoded-")) / name
    if not _is_valid(folder, images_shape):
        _write(folder, images_shape, reading, workers, progress)
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    return _without(dict(record["left_out"]), *_mapped(folder), reading)


def _fits_in_memory(images_shape: tuple[int, ...]) -> bool:
    needed = int(np.prod(images_shape, dtype=np.int64)) * 4 // 3  # three channels and a mask
    return needed <= available_memory() // 2


def _without(
    left_out: Mapping[int, str], images: np.ndarray, masks: np.ndarray, reading: "Reading"
) -> Decoded:
    """Return the samples that are kept, which come first in the arrays, and name the others."""
    for reason in left_out.values():
        log.warning("left out of the %s: %s", reading.title, reason)
    kept = [index for index in range(len(images)) if index not in left_out]
    names = tuple(reading.split.name(index) for index in kept)
    return Decoded(images[: len(kept)], masks[: len(kept)], names)


def _write(
    folder: Path,
    images_shape: tuple[int, ...],
    reading: Reading,
    workers: int,
    progress: Progress | None,
) -> None:
    """Decode into a temporary folder and rename it, so that no reader ever sees a part of it."""
    parent = folder.parent
    shapes = {"images": images_shape, "masks": images_shape[:3]}
    with _disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=parent)
    with temporary:
        part = Path(temporary.name, folder.name)
        with _disk_errors(parent):
            part.mkdir()
            arrays = {name: _new_array(part / f"{name}.npy", shapes[name]) for name in shapes}
        left_out = reading.fill(arrays["images"], arrays["masks"], workers, progress)
        with _disk_errors(parent):
            for name in shapes:
                arrays.pop(name).flush()  # and let go: Windows renames no mapped file
            sums = {name: _checksum(part / f"{name}.npy") for name in shapes}
            record = {"checksums": sums, "left_out": list(left_out.items())}
            (part / _RECORD).write_text(json.dumps(record), encoding="utf-8")
            _put_in_place(part, folder, images_shape)


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):
        # A full disk is told now, as an error; found while writing to the map it kills the process.
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _put_in_place(part: Path, folder: Path, images_shape: tuple[int, ...]) -> None:
    try:
        os.rename(part, folder)
    except OSError:
        if _is_valid(folder, images_shape):  # another process was quicker: use what it made
            return
        shutil.rmtree(folder)
        os.rename(part, folder)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: decoded samples cannot be kept here ({error.strerror or error}). "
            "Free some space, set data.cache_dir to another folder or data.cache to memory."
        ) from error


def _is_valid(folder: Path, images_shape: tuple[int, ...]) -> bool:
    """Return whether a folder holds whole arrays of this shape; warn if damaged."""
    if not folder.is_dir():
        return False
    try:
        images, masks = _mapped(folder)
        record: dict[str, Any] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        valid = (images.shape, masks.shape) == (images_shape, images_shape[:3])
        valid = valid and record["checksums"] == {
            name: _checksum(folder / f"{name}.npy") for name in ("images", "masks")
        }
        dict(record["left_out"])
    except (OSError, ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        log.warning("%s: this cache is damaged; decoding again.", folder)
    return valid


def _mapped(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    images = np.lib.format.open_memmap(folder / "images.npy", "r")
    masks = np.lib.format.open_memmap(folder / "masks.npy", "r")
    return images, masks


def _checksum(path: Path) -> int:
    """CRC-32 of a file: found to read 1.5 GB a second or more, so a cache is always checked."""
    value = 0
    with open(path, "rb") as file:
        while block := file.read(_CHECK_BYTES):
            value = zlib.crc32(block, value)
    return value
