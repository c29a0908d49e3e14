"""Where decoded samples are kept, each a row of bytes: in memory, or in files on a local disk."""

import os
import shutil
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np

from utils.errors import UserError
from utils.logs import log

_REMEDY = "Free some space, set data.cache_dir to another folder or data.cache to memory."


class RowStore(Protocol):
    """Keeps rows by their number; several threads may use it at once."""

    def read(self, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Copy the rows that are kept to their places; return which these are, bool [N]."""
        ...

    def write(self, number: int, row: np.ndarray) -> None:
        """Keep a row."""
        ...


class MemoryRows:
    """Keeps rows in memory, for as long as the process lives."""

    def __init__(self, shape: tuple[int, int]) -> None:
        """Begin with none of [rows, bytes]; memory is taken as they come."""
        self._rows = np.zeros(shape, np.uint8)
        self._is_kept = np.zeros(shape[0], bool)

    def read(self, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """See `RowStore`."""
        is_kept: np.ndarray = self._is_kept[numbers]  # first: another thread may be writing one
        np.take(self._rows, numbers, axis=0, out=rows, mode="clip")  # which copies once
        return is_kept

    def write(self, number: int, row: np.ndarray) -> None:
        """See `RowStore`."""
        self._rows[number] = row
        self._is_kept[number] = True


class DiskRows:
    """Keeps rows in a file, and the CRC-32 of each in another one; later runs find them.

    A row is written before its check, and checked when a process reads it for the first time. So a
    row that was cut off, or damaged since, is decoded again. Processes may share the files: whoever
    decodes a sample writes the same bytes. The system keeps in its memory what was used lately.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        """Open the files, or make them.

        Raises:
            UserError: If they cannot be made, or the disk has too little room for all rows.
        """
        self._folder, self._row_bytes = folder, shape[1]
        self._rows, checks = folder / "rows.bin", folder / "checks.bin"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _check_room(self._rows, shape[0] * shape[1])
            _resize(self._rows, shape[0] * shape[1])
            _fill(checks, 4 * shape[0])
            self._checks = np.memmap(checks, np.uint32, "r+", shape=shape[:1])
        except OSError as error:
            raise UserError(
                f"{folder.parent}: decoded samples cannot be kept here "
                f"({error.strerror or error}). {_REMEDY}"
            ) from error
        self._is_checked = np.zeros(shape[0], bool)
        self._is_damaged, self._is_full = False, False

    def read(self, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """See `RowStore`."""
        is_kept = np.zeros(len(numbers), bool)
        with open(self._rows, "rb", buffering=0) as file:
            for place, number in enumerate(numbers.tolist()):
                if self._checks[number]:
                    file.seek(number * self._row_bytes)
                    is_kept[place] = file.readinto(rows[place]) == self._row_bytes and (
                        self._is_checked[number] or self._is_whole(number, rows[place])
                    )
        return is_kept

    def write(self, number: int, row: np.ndarray) -> None:
        """See `RowStore`; where the disk is full the row is not kept, with a warning."""
        if self._is_full:
            return
        try:
            with open(self._rows, "r+b", buffering=0) as file:
                file.seek(number * self._row_bytes)
                if file.write(row.data) < self._row_bytes:
                    raise OSError("the disk is full")
        except OSError as error:
            self._is_full = True
            text = "%s: decoded samples cannot be kept here (%s) and are decoded each time. %s"
            log.warning(text, self._folder, error.strerror or error, _REMEDY)
            return
        self._checks[number] = _check(row)
        self._is_checked[number] = True

    def _is_whole(self, number: int, row: np.ndarray) -> bool:
        self._is_checked[number] = is_whole = _check(row) == self._checks[number]
        if not (is_whole or self._is_damaged):
            self._is_damaged = True
            log.warning("%s: this cache is damaged; decoding again what is.", self._folder)
        return bool(is_whole)


def _check(row: np.ndarray) -> int:
    """Return a row's CRC-32, but never 0, which stands for a row that is not there."""
    return zlib.crc32(row.data) or 1


def _check_room(path: Path, size: int) -> None:
    there = path.stat() if path.exists() else None
    needed = size - (0 if there is None else getattr(there, "st_blocks", 0) * 512)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(f"{needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")


def _resize(path: Path, size: int) -> None:
    """Make a file of this size that takes room only where it is written."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        file.truncate(size)


def _fill(path: Path, size: int) -> None:
    """Make a file of this size, zeros where nothing was, that is on the disk: it is mapped."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(bytes(max(size - end, 0)))
        file.truncate(size)
