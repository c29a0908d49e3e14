"""Decides where the decoded samples of a split are kept."""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dataloader.decoded import Decoded, DecodeOptions
from dataloader.packing import Layout
from dataloader.row_store import DiskRows, MemoryRows, RowStore
from dataloader.sample import Field, Split
from utils.errors import UserError
from utils.logs import log
from utils.memory import available_memory

_FORMAT = 4  # raise it when files of an older version must not be reused
_LITTLE = 256 << 20  # bytes; so much is decoded again sooner than anybody waits for it


def decode(
    split: Split,
    spec: Mapping[str, Field],
    options: DecodeOptions,
    title: str = "split",
    key: Callable[[], str] | None = None,
) -> Decoded:
    """Return a split whose samples are decoded when they are first needed, and then kept.

    Where bad samples are to be left out, all are decoded at once, since it must be known which
    remain. `spec` says what each sample is, and `title` is the split in messages. `key` returns
    what the content depends on besides; it is called only for the disk, since it may look at every
    file.

    Raises:
        UserError: If the split is empty, more samples are bad than may be, none is left, or they
            can be kept nowhere.
    """
    if not len(split):
        raise UserError(f"The {title} is empty. Expected: at least one sample.")
    layout = Layout(spec)

    def folder() -> Path:
        # The names, too: a sample may have moved to another split while all files stayed the same.
        names = [split.name(index) for index in range(len(split))]
        content = (_FORMAT, key and key(), list(layout.spec.items()), names)
        name = hashlib.sha256(repr(content).encode()).hexdigest()[:24]
        return Path(options.directory or tempfile.mkdtemp(prefix="decoded-")) / name

    store = _store((len(split), layout.row_bytes), options.cache, folder)
    decoded = Decoded(split, layout, store, options, title)
    if options.may_skip:
        return decoded.without_bad_samples()
    for index in getattr(split, "known_bad", ())[:1]:
        decoded.take(np.array([index]))  # which raises what is wrong with it
    return decoded


def _store(shape: tuple[int, int], cache: str, folder: Callable[[], Path]) -> RowStore:
    size = shape[0] * shape[1]
    fits = size <= available_memory() // 2
    if cache == "memory" or (cache == "auto" and fits and size <= _LITTLE):
        return MemoryRows(shape)
    try:
        return DiskRows(folder(), shape)
    except UserError as error:
        if cache == "disk" or not fits:
            raise
        log.warning("%s\nThey are kept in memory.", error)
        return MemoryRows(shape)
