"""Decodes every sample once: later epochs gather from uint8 arrays in memory or on disk."""

import hashlib
import json
import math
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataloader.decode import DecodeOptions, read_samples
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

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of the images and masks of some samples, side by side."""
        return np.take(self.images, indices, axis=0), np.take(self.masks, indices, axis=0)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return (self.images.nbytes + self.masks.nbytes) // len(self)

    def first(self, count: int) -> "Decoded":
        """Return the first samples, at most all."""
        return Decoded(self.images[:count], self.masks[:count], self.names[:count])


def decode(
    split: Split, options: DecodeOptions, title: str = "split", key: Callable[[], str] | None = None
) -> Decoded:
    """Decode a whole split, resized; arrays on disk are checked and used again by later runs.

    `title` is the split in messages. `key` returns what the content depends on besides the size; it
    is called only for arrays on disk, since it may look at every file.

    Returns:
        The arrays, in the split's order, without what was left out.

    Raises:
        UserError: If more samples are bad than may be, none is left, or the disk is full.
    """
    if not len(split):
        raise UserError(f"The {title} is empty. Expected: at least one sample.")
    shape = (len(split), *options.size, 3)
    needed = math.prod(shape) * 4 // 3  # three channels and a mask
    in_memory = options.cache == "memory"
    if in_memory or (options.cache == "auto" and needed <= available_memory() // 2):
        images, masks = np.empty(shape, np.uint8), np.empty(shape[:3], np.uint8)
        left_out = read_samples(split, options, title, images, masks)
    else:
        content = (_FORMAT, key and key(), shape, options.may_skip)
        name = hashlib.sha256(repr(content).encode()).hexdigest()[:24]
        folder = Path(options.directory or tempfile.mkdtemp(prefix="decoded-")) / name
        if not _is_valid(folder, shape):
            _write(folder, shape, split, options, title)
        images, masks, left_out, _ = _opened(folder)
    for reason in left_out.values():
        log.warning("left out of the %s: %s", title, reason)
    names = tuple(split.name(index) for index in range(len(split)) if index not in left_out)
    return Decoded(images[: len(names)], masks[: len(names)], names)


def _write(
    folder: Path, images_shape: tuple[int, ...], split: Split, options: DecodeOptions, title: str
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
        left_out = read_samples(split, options, title, arrays["images"], arrays["masks"])
        with _disk_errors(parent):
            for name in shapes:
                arrays.pop(name).flush()  # and let go: Windows renames no mapped file
            record = {"checksums": _checksums(part), "left_out": list(left_out.items())}
            (part / _RECORD).write_text(json.dumps(record), encoding="utf-8")
            try:
                os.rename(part, folder)
            except OSError:
                if not _is_valid(folder, images_shape):  # else another process was quicker
                    shutil.rmtree(folder)
                    os.rename(part, folder)


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):
        # A full disk is an error now; found while writing to the map it would kill the process.
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


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
    with suppress(OSError, ValueError, KeyError, TypeError):
        images, masks, _, checksums = _opened(folder)
        shapes = (images.shape, masks.shape)
        if shapes == (images_shape, images_shape[:3]) and checksums == _checksums(folder):
            return True
    log.warning("%s: this cache is damaged; decoding again.", folder)
    return False


def _opened(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[int, str], dict[str, int]]:
    """Return images, masks, what was left out and why, and the checksums."""
    images = np.lib.format.open_memmap(folder / "images.npy", "r")
    masks = np.lib.format.open_memmap(folder / "masks.npy", "r")
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    return images, masks, dict(record["left_out"]), record["checksums"]


def _checksums(folder: Path) -> dict[str, int]:
    """CRC-32 of the arrays: found to read 1.5 GB a second or more, so a cache is always checked."""
    sums = {}
    for name in ("images", "masks"):
        value = 0
        with open(folder / f"{name}.npy", "rb") as file:
            while block := file.read(_CHECK_BYTES):
                value = zlib.crc32(block, value)
        sums[name] = value
    return sums
