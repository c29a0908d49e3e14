"""Decodes every sample once: later epochs gather from uint8 arrays in memory or on disk."""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dataloader.source import IGNORE_INDEX, Split
from utils.errors import UserError
from utils.logs import log
from utils.memory import available_memory

Progress = Callable[[int, int], None]
"""Called with the number of samples that are done and the number of all."""

_FORMAT = 1  # raise it when files of an older version must not be reused
_CHUNK = 16  # samples a thread takes at once
_SUMS = "checksums.json"
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


def decode(
    split: Split,
    size: tuple[int, int],
    workers: int = 0,
    cache: Literal["auto", "memory", "disk"] = "auto",
    directory: str | None = None,
    key: Callable[[], str] | None = None,
    progress: Progress | None = None,
    num_classes: int | None = None,
) -> Decoded:
    """Decode a whole split, resized.

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

    Returns:
        The arrays, in the split's order.

    Raises:
        UserError: If a sample cannot be read, or the disk is full.
    """
    images_shape = (len(split), *size, 3)
    if cache == "memory" or (cache == "auto" and _fits_in_memory(images_shape)):
        images = np.empty(images_shape, dtype=np.uint8)
        masks = np.empty(images_shape[:3], dtype=np.uint8)
        _decode_into(images, masks, split, workers, progress, num_classes)
        return Decoded(images, masks, _names(split))
    name = hashlib.sha256(repr((_FORMAT, key and key(), images_shape)).encode()).hexdigest()[:24]
    folder = Path(directory or tempfile.mkdtemp(prefix="decoded-")) / name
    if not _is_valid(folder, images_shape):
        _write(folder, images_shape, split, workers, progress, num_classes)
    return Decoded(*_mapped(folder), _names(split))


def _fits_in_memory(images_shape: tuple[int, ...]) -> bool:
    needed = int(np.prod(images_shape, dtype=np.int64)) * 4 // 3  # three channels and a mask
    return needed <= available_memory() // 2


def _names(split: Split) -> tuple[str, ...]:
    return tuple(split.name(index) for index in range(len(split)))


def _decode_into(
    images: np.ndarray,
    masks: np.ndarray,
    split: Split,
    workers: int,
    progress: Progress | None,
    num_classes: int | None,
) -> None:
    """Fill the arrays; Pillow lets threads decode side by side."""
    total = len(split)
    chunks = [range(start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK)]

    def fill(chunk: range) -> int:
        for index in chunk:
            images[index], masks[index] = _checked_sample(split, index, images, num_classes)
        return chunk.stop

    if workers <= 0:
        for chunk in chunks:
            _report(progress, fill(chunk), total)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for done in pool.map(fill, chunks):
                _report(progress, done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _checked_sample(
    split: Split, index: int, images: np.ndarray, num_classes: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Read one sample and hold it to what `dataloader.source.Split` promises."""
    size = (images.shape[1], images.shape[2])
    try:
        image, mask = split.read(index, size)
    except Exception as error:
        error.add_note(f"While decoding sample {index}, {split.name(index)}")
        raise
    for what, array, shape in (("image", image, (*size, 3)), ("mask", mask, size)):
        if array.dtype != np.uint8 or array.shape != shape:
            raise UserError(
                f"{split.name(index)}: the data source must return the {what} as uint8 "
                f"{list(shape)}. Received: {array.dtype} {list(array.shape)}"
            )
    if num_classes is not None:
        strange = np.bincount(mask.ravel(), minlength=IGNORE_INDEX)[num_classes:IGNORE_INDEX]
        if strange.any():
            raise UserError(
                f"{split.name(index)}: the mask holds {num_classes + int(strange.argmax())} at "
                f"{strange.max()} pixels. Known: 0 to {num_classes - 1}, and {IGNORE_INDEX} for "
                "pixels that do not count."
            )
    return image, mask


def _write(
    folder: Path,
    images_shape: tuple[int, ...],
    split: Split,
    workers: int,
    progress: Progress | None,
    num_classes: int | None,
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
        _decode_into(arrays["images"], arrays["masks"], split, workers, progress, num_classes)
        with _disk_errors(parent):
            for name in shapes:
                arrays.pop(name).flush()  # and let go: Windows renames no mapped file
            sums = {name: _checksum(part / f"{name}.npy") for name in shapes}
            (part / _SUMS).write_text(json.dumps(sums))
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
        sums = json.loads((folder / _SUMS).read_text())
        valid = (images.shape, masks.shape) == (images_shape, images_shape[:3]) and sums == {
            name: _checksum(folder / f"{name}.npy") for name in ("images", "masks")
        }
    except (OSError, ValueError):
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
