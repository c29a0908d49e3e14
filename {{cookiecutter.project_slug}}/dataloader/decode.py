"""Reads every sample of a split into its row, and sorts out the bad ones."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from dataloader.packing import Layout
from dataloader.sample import Field, Fields, Split
from utils.errors import UserError, first_few
from utils.logs import log

_CHUNK = 16  # samples a thread takes at once
_SECONDS_BETWEEN_LINES = 5.0  # of the progress
_LEAVE_OUT = "leave bad samples out: data.on_bad_sample=skip (data.bad_sample_limit says how many)."


@dataclass(frozen=True)
class DecodeOptions:
    """How a split is decoded.

    A bad sample is one that the split refuses with a UserError, or a field of which holds a label
    out of range. Whatever else a source does wrong is a mistake in its code and always an error.
    """

    workers: int = 0
    """Threads that decode; 0 decodes in the calling thread."""
    cache: Literal["auto", "memory", "disk"] = "auto"
    """Where the arrays go. "auto": into memory if they fit in half of what is available."""
    directory: str | None = None
    """A local folder for arrays on disk, where the next run finds them; None: a temporary one."""
    may_skip: int = 0
    """How many bad samples are left out, with a warning for each; 0: the first is an error."""


class _BadSampleError(Exception):
    """One sample cannot be used."""


def read_samples(
    split: Split, layout: Layout, options: DecodeOptions, title: str, rows: np.ndarray
) -> dict[int, str]:
    """Fill the rows from the front; return which samples were left out, and why.

    They are counted in the split's order, so the number of threads changes nothing, neither in what
    is returned nor in what is raised. Pillow lets threads decode side by side.
    """
    total = len(split)
    chunks = [range(start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK)]
    left_out: dict[int, str] = {}
    next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
    fill = partial(_fill_chunk, split, layout, options, rows)
    with ExitStack() as stack:
        results: Iterator[dict[int, str]] = map(fill, chunks)
        if options.workers > 0:
            pool = ThreadPoolExecutor(options.workers, thread_name_prefix="decode")
            stack.callback(pool.shutdown, cancel_futures=True)
            results = pool.map(fill, chunks)
        for chunk, bad in zip(chunks, results, strict=True):
            left_out.update(bad)
            if options.may_skip < len(left_out) or len(left_out) == total:
                reasons = first_few(list(left_out.values()), separator="\n  ")
                raise UserError(
                    f"The {title} has {len(left_out)} bad samples among its first {chunk.stop} of "
                    f"{total}; data.bad_sample_limit={options.may_skip} may be left out, and one "
                    f"at least must remain:\n  {reasons}\n"
                    "Correct or remove these files, or raise the limit."
                )
            if time.monotonic() >= next_line:
                next_line += _SECONDS_BETWEEN_LINES
                log.info("decoding  %d of %d samples of the %s", chunk.stop, total, title)
    _close_gaps(rows, left_out)
    return left_out


def _fill_chunk(
    split: Split, layout: Layout, options: DecodeOptions, rows: np.ndarray, chunk: range
) -> dict[int, str]:
    """Decode some samples into their places and return which are bad, and why."""
    places = layout.fields(rows[chunk.start : chunk.stop])
    bad = {}
    for number, index in enumerate(chunk):
        try:
            for name, array in _read_sample(split, layout.spec, index).items():
                places[name][number] = array
        except _BadSampleError as error:
            if not options.may_skip:
                raise UserError(f"{error}\nOr {_LEAVE_OUT}") from error
            bad[index] = " ".join(str(error).split())
    return bad


def _read_sample(split: Split, spec: Mapping[str, Field], index: int) -> Fields:
    """Read one sample and check it against what the source says that it is."""
    sample = split.name(index)
    try:
        fields = split.read(index)
    except UserError as error:
        raise _BadSampleError(str(error)) from error
    except Exception as error:
        error.add_note(f"While decoding sample {index}, {sample}")
        raise
    if fields.keys() != spec.keys():
        raise UserError(
            f"{sample}: the data source must return the fields {', '.join(spec)}. "
            f"Received: {', '.join(fields)}"
        )
    for name, field in spec.items():
        array = np.asarray(fields[name])
        if array.dtype != field.dtype or array.shape != field.shape:
            raise UserError(
                f"{sample}: the data source must return the {name} as {field.dtype} "
                f"{list(field.shape)}. Received: {array.dtype} {list(array.shape)}"
            )
        if field.labels is not None:
            _check_labels(array, field.labels, field.ignored, f"{sample}: the {name}")
    return fields


def _check_labels(array: np.ndarray, labels: int, ignored: int | None, what: str) -> None:
    unknown = (array < 0) | (array >= labels)
    if ignored is not None:
        unknown &= array != ignored
    if not unknown.any():
        return
    values, counts = np.unique(array[unknown], return_counts=True)
    also = "" if ignored is None else f", and {ignored} for what does not count"
    raise _BadSampleError(
        f"{what} holds {values[counts.argmax()]} at {counts.max()} of {array.size} places. "
        f"Known: 0 to {labels - 1}{also}. Correct the {what.split()[-1]}, or give the class a name."
    )


def _close_gaps(array: np.ndarray, left_out: Mapping[int, str]) -> None:
    """Move the samples that are kept to the front, in place."""
    place = min(left_out, default=len(array))
    for index in range(place, len(array)):
        if index not in left_out:
            array[place] = array[index]
            place += 1
