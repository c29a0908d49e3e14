"""Decodes every sample once: later epochs gather from uint8 arrays in memory or on disk."""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dataloader.source import IGNORE_INDEX, Split
from utils.errors import UserError
from utils.logs import log
from utils.memory import available_memory

Progress = Callable[[int, int], None]
"""Called with the number of samples that are done and the number of all."""

_FORMAT = 2  # raise it when files of an older version must not be reused
_CHUNK = 16  # samples a thread takes at once
_RECORD = "record.json"
_CHECK_BYTES = 1 << 24  # how much of a file is read at once to check it
_MOST_SHOWN = 5  # bad samples listed in a message
_LEAVE_OUT = (
    "Or leave bad samples out: data.on_bad_sample=skip (data.bad_sample_limit says how many)."
)


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
    reading = _Reading(split, size, num_classes, may_skip, title)
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
    left_out: Mapping[int, str], images: np.ndarray, masks: np.ndarray, reading: "_Reading"
) -> Decoded:
    """Return the samples that are kept, which come first in the arrays, and name the others."""
    for reason in left_out.values():
        log.warning("left out of the %s: %s", reading.title, reason)
    kept = [index for index in range(len(images)) if index not in left_out]
    names = tuple(reading.split.name(index) for index in kept)
    return Decoded(images[: len(kept)], masks[: len(kept)], names)


class _BadSampleError(Exception):
    """One sample cannot be used; says which and why."""


@dataclass(frozen=True)
class _Reading:
    """How a split is read; see `decode`."""

    split: Split
    size: tuple[int, int]
    num_classes: int | None
    may_skip: int
    title: str

    def fill(
        self, images: np.ndarray, masks: np.ndarray, workers: int, progress: Progress | None
    ) -> dict[int, str]:
        """Fill the arrays from the front; Pillow lets threads decode side by side.

        Returns:
            Which samples were left out and why. They are counted in the split's order, so the
            number of threads changes nothing, neither here nor in what is raised.
        """
        total = len(self.split)
        chunks = [range(start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK)]
        left_out: dict[int, str] = {}

        def decode_chunk(chunk: range) -> tuple[int, dict[int, str]]:
            return chunk.stop, self._fill_chunk(images, masks, chunk)

        def note(done: int, bad: Mapping[int, str]) -> None:
            left_out.update(bad)
            self._check(left_out, done)
            if progress is not None:
                progress(done, total)

        if workers <= 0:
            for chunk in chunks:
                note(*decode_chunk(chunk))
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
                try:
                    for result in pool.map(decode_chunk, chunks):
                        note(*result)
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        _close_gaps(images, left_out)
        _close_gaps(masks, left_out)
        return left_out

    def _fill_chunk(self, images: np.ndarray, masks: np.ndarray, chunk: range) -> dict[int, str]:
        """Decode some samples into their places and return which are bad, and why."""
        bad = {}
        for index in chunk:
            try:
                images[index], masks[index] = self._sample(index)
            except _BadSampleError as error:
                if not self.may_skip:
                    raise UserError(f"{error}\n{_LEAVE_OUT}") from error
                bad[index] = " ".join(str(error).split())
        return bad

    def _sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one sample and hold it to what `dataloader.source.Split` promises.

        Raises:
            _BadSampleError: If the sample is bad.
            UserError: If what the source returns has another form, which is no sample's fault.
        """
        name = self.split.name(index)
        try:
            image, mask = self.split.read(index, self.size)
        except UserError as error:
            raise _BadSampleError(str(error)) from error
        except Exception as error:
            error.add_note(f"While decoding sample {index}, {name}")
            raise
        for what, array, shape in (("image", image, (*self.size, 3)), ("mask", mask, self.size)):
            if array.dtype != np.uint8 or array.shape != shape:
                raise UserError(
                    f"{name}: the data source must return the {what} as uint8 {list(shape)}. "
                    f"Received: {array.dtype} {list(array.shape)}"
                )
        if self.num_classes is not None:
            _check_labels(mask, self.num_classes, name)
        return image, mask

    def _check(self, left_out: Mapping[int, str], done: int) -> None:
        """Refuse to leave out too many samples, or all of them."""
        total, bad = len(self.split), len(left_out)
        if bad <= self.may_skip and bad < total:
            return
        listed = [f"  {reason}" for reason in list(left_out.values())[:_MOST_SHOWN]]
        if bad > _MOST_SHOWN:
            listed.append(f"  and {bad - _MOST_SHOWN} more")
        limit = f"data.bad_sample_limit={self.may_skip} may be left out"
        raise UserError(
            f"The {self.title} has {bad} bad samples among its first {done} of {total}; {limit}, "
            "and one at least must remain:\n" + "\n".join(listed) + "\n"
            "Mend or remove these files, or raise the limit."
        )


def _check_labels(mask: np.ndarray, num_classes: int, name: str) -> None:
    strange = np.bincount(mask.ravel(), minlength=IGNORE_INDEX)[num_classes:IGNORE_INDEX]
    if strange.any():
        raise _BadSampleError(
            f"{name}: the mask holds {num_classes + int(strange.argmax())} at {strange.max()} "
            f"pixels. Known: 0 to {num_classes - 1}, and {IGNORE_INDEX} for pixels that do not "
            "count. Mend the mask, or give the class a name."
        )


def _close_gaps(array: np.ndarray, left_out: Mapping[int, str]) -> None:
    """Move the samples that are kept to the front, in place."""
    if not left_out:
        return
    place = min(left_out)
    for index in range(place, len(array)):
        if index not in left_out:
            array[place] = array[index]
            place += 1


def _write(
    folder: Path,
    images_shape: tuple[int, ...],
    reading: _Reading,
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
    """Tell whether a folder holds whole arrays of this shape; warn if what is there is damaged."""
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
