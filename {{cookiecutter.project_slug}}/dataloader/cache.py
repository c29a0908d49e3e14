"""Decodes every sample once: later epochs gather rows of bytes from memory or from disk."""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataloader.decode import DecodeOptions, read_samples
from dataloader.packing import Layout
from dataloader.sample import Field, Split
from utils.errors import UserError
from utils.logs import log
from utils.memory import available_memory

_FORMAT = 3  # raise it when files of an older version must not be reused
_ROWS, _RECORD = "rows.npy", "record.json"
_CHECK_BYTES = 1 << 24  # how much of a file is read at once to check it


@dataclass(frozen=True)
class Decoded:
    """The samples of a split, each a row of bytes; the array may be a read-only map of a file."""

    rows: np.ndarray
    """uint8 [N, layout.row_bytes]."""
    names: tuple[str, ...]
    """The samples' names for people."""
    layout: Layout

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.rows)

    @property
    def fields(self) -> dict[str, np.ndarray]:
        """All samples, not copied: [N, ...] by name."""
        return self.layout.fields(self.rows)

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return copies of some samples, side by side."""
        return self.layout.fields(np.take(self.rows, indices, axis=0))

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return self.layout.row_bytes

    def first(self, count: int) -> "Decoded":
        """Return the first samples, at most all."""
        return Decoded(self.rows[:count], self.names[:count], self.layout)


def decode(
    split: Split,
    spec: Mapping[str, Field],
    options: DecodeOptions,
    title: str = "split",
    key: Callable[[], str] | None = None,
) -> Decoded:
    """Decode a whole split; what is kept on disk is checked and used again by later runs.

    `spec` says what each sample is, and `title` is the split in messages. `key` returns what the
    content depends on besides; it is called only for the disk, since it may look at every file.

    Returns:
        The samples, in the split's order, without what was left out.

    Raises:
        UserError: If more samples are bad than may be, none is left, or the disk is full.
    """
    if not len(split):
        raise UserError(f"The {title} is empty. Expected: at least one sample.")
    layout = Layout(spec)
    shape = (len(split), layout.row_bytes)
    in_memory = options.cache == "memory"
    if in_memory or (options.cache == "auto" and shape[0] * shape[1] <= available_memory() // 2):
        rows = np.zeros(shape, np.uint8)
        left_out = read_samples(split, layout, options, title, rows)
    else:
        content = (_FORMAT, key and key(), list(layout.spec.items()), len(split), options.may_skip)
        name = hashlib.sha256(repr(content).encode()).hexdigest()[:24]
        folder = Path(options.directory or tempfile.mkdtemp(prefix="decoded-")) / name
        if not _is_valid(folder, shape):
            _write(folder, shape, split, layout, options, title)
        rows, left_out, _ = _opened(folder)
    for reason in left_out.values():
        log.warning("left out of the %s: %s", title, reason)
    names = tuple(split.name(index) for index in range(len(split)) if index not in left_out)
    return Decoded(rows[: len(names)], names, layout)


def _write(
    folder: Path,
    shape: tuple[int, int],
    split: Split,
    layout: Layout,
    options: DecodeOptions,
    title: str,
) -> None:
    """Decode into a temporary folder and rename it, so that no reader ever sees a part of it."""
    parent = folder.parent
    with _disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=parent)
    with temporary:
        part = Path(temporary.name, folder.name)
        with _disk_errors(parent):
            part.mkdir()
            rows = _new_array(part / _ROWS, shape)
        left_out = read_samples(split, layout, options, title, rows)
        with _disk_errors(parent):
            rows.flush()
            del rows  # Windows renames no mapped file
            record = {"checksum": _checksum(part), "left_out": list(left_out.items())}
            (part / _RECORD).write_text(json.dumps(record), encoding="utf-8")
            try:
                os.rename(part, folder)
            except OSError:
                if not _is_valid(folder, shape):  # else another process was quicker
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


def _is_valid(folder: Path, shape: tuple[int, int]) -> bool:
    """Return whether a folder holds whole rows of this shape; warn if damaged."""
    if not folder.is_dir():
        return False
    with suppress(OSError, ValueError, KeyError, TypeError):
        rows, _, checksum = _opened(folder)
        if rows.shape == shape and checksum == _checksum(folder):
            return True
    log.warning("%s: this cache is damaged; decoding again.", folder)
    return False


def _opened(folder: Path) -> tuple[np.ndarray, dict[int, str], int]:
    """Return the rows, what was left out and why, and the checksum."""
    rows = np.lib.format.open_memmap(folder / _ROWS, "r")
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    return rows, dict(record["left_out"]), record["checksum"]


def _checksum(folder: Path) -> int:
    """CRC-32 of the rows: found to read 1.5 GB a second or more, so a cache is always checked."""
    value = 0
    with open(folder / _ROWS, "rb") as file:
        while block := file.read(_CHECK_BYTES):
            value = zlib.crc32(block, value)
    return value
