"""Reads samples of a split into rows of bytes, and refuses the bad ones."""

from collections.abc import Mapping

import numpy as np

from dataloader.packing import Layout
from dataloader.sample import Field, Fields, Split
from utils.errors import UserError


class BadSampleError(Exception):
    """One sample cannot be used.

    The split refuses it with a UserError, or a field holds a label out of range. Whatever else a
    source does wrong is a mistake in its code and always an error.
    """


def read_row(split: Split, layout: Layout, index: int, row: np.ndarray) -> None:
    """Decode a sample into its row, uint8 [layout.row_bytes].

    Raises:
        BadSampleError: If the sample cannot be used.
        UserError: If it has not the form that the source promises.
    """
    row[:] = 0
    places = layout.fields(row[None])
    for name, array in _read_sample(split, layout.spec, index).items():
        places[name][0] = array


def _read_sample(split: Split, spec: Mapping[str, Field], index: int) -> Fields:
    """Read one sample and check it against what the source says that it is."""
    try:
        fields = split.read(index)
    except UserError as error:
        raise BadSampleError(str(error)) from error
    except Exception as error:
        error.add_note(f"While decoding sample {index}, {split.name(index)}")
        raise
    if fields.keys() != spec.keys():
        raise UserError(
            f"{split.name(index)}: the data source must return the fields {', '.join(spec)}. "
            f"Received: {', '.join(fields)}"
        )
    for name, field in spec.items():
        array = np.asarray(fields[name])
        if array.dtype != field.dtype or array.shape != field.shape:
            raise UserError(
                f"{split.name(index)}: the data source must return the {name} as {field.dtype} "
                f"{list(field.shape)}. Received: {array.dtype} {list(array.shape)}"
            )
        if field.labels is not None:
            unknown = _unknown(array, field.labels, field.ignored)
            if unknown.any():
                raise _unknown_label(array[unknown], array.size, field, split.name(index), name)
    return fields


def _unknown(array: np.ndarray, labels: int, ignored: int | None) -> np.ndarray:
    unknown: np.ndarray = (array < 0) | (array >= labels)
    return unknown if ignored is None else unknown & (array != ignored)


def _unknown_label(
    labels: np.ndarray, size: int, field: Field, sample: str, name: str
) -> BadSampleError:
    values, counts = np.unique(labels, return_counts=True)
    known = f"0 to {(field.labels or 0) - 1}"
    known += "" if field.ignored is None else f", and {field.ignored} for what does not count"
    return BadSampleError(
        f"{sample}: the {name} holds {values[counts.argmax()]} at {counts.max()} of {size} places. "
        f"Known: {known}. Correct the {name}, or give the class a name."
    )
