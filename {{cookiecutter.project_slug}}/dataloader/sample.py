"""What a data source is: anything with these few names can be put in `data.source`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from utils.errors import UserError

SPLITS = ("train", "validation", "test")
Fields = Mapping[str, np.ndarray]
"""A sample, or samples side by side, as named arrays."""


@dataclass(frozen=True)
class Field:
    """What one of the named arrays is in every sample."""

    shape: tuple[int, ...]
    dtype: str = "uint8"
    labels: int | None = None
    """It holds class indices below this number; None: any values."""
    ignored: int | None = None
    """Besides class indices, the value of what does not count; None: there is none."""


class Split(Protocol):
    """A numbered list of samples.

    It may have more besides, so that nobody waits for files to be decoded: `known_bad`, the
    samples that are known to be bad before any is read, which is then said before training starts;
    `known_fields`, fields of all samples, [N, ...] by name, that a sampler may ask for; and
    `together(index)`, the samples that are decoded with one, since they come from the same file.
    """

    def __len__(self) -> int:
        """Return the number of samples, at least 1."""
        ...

    def read(self, index: int) -> Fields:
        """Return one sample, 0 to len - 1, as the source's `spec` says; called by several threads.

        Raises:
            UserError: If the sample cannot be read; the message names the file.
        """
        ...

    def name(self, index: int) -> str:
        """Return a short name for people, for example that of its file."""
        ...


class Described(Protocol):
    """What says what task, model, loss and evaluators may ask for by name."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Such as `num_classes`, by name."""
        ...


@dataclass(frozen=True)
class KnownFacts:
    """What a run remembers of its source, so that predicting needs no data."""

    facts: Mapping[str, Any]


class Source(Protocol):
    """A data set: what its samples are, and its splits."""

    @property
    def spec(self) -> Mapping[str, Field]:
        """The fields of every sample, by name."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What task, model, loss and evaluators may ask for by name, for example `num_classes`."""
        ...

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the samples would; keys the disk cache."""
        ...

    def split(self, name: str) -> Split:
        """Return "train", "validation" or "test".

        Raises:
            UserError: If the source has no such split, or the split is empty.
        """
        ...


def check_split_name(name: str) -> None:
    """Refuse anything but the names of the three splits, with a UserError."""
    if name not in SPLITS:
        raise UserError(f"There is no split {name!r}. The splits are: {', '.join(SPLITS)}.")
