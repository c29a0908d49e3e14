"""What the executor asks of anything that scores predictions; implement it to measure otherwise."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

Arrays = Mapping[str, np.ndarray]
"""Samples side by side, [B, ...], by the names of their fields or of what is predicted."""


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    html: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG files that are written beside the page, by name."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What it shows as plain values, for `report.json`."""
    style: str = ""
    """CSS beside that of `report.css`."""


class PredictedFile(NamedTuple):
    """One of the files that are given to `main.py predict`, and what the model makes of it."""

    path: Path
    name: str
    """Without the ending; of a file in a folder that was given, with the folders in between."""
    content: Any
    """As the task's `read` returned it."""
    prediction: Arrays
    """[N, ...] by name, for the N samples that `read` made of the file; mostly 1."""


class Evaluator(Protocol):
    """Scores predictions as a stream, so that memory does not grow with the data.

    One that has a method `section()`, which returns a `Section`, is shown in the report.

    Attributes:
        totals: All that has been counted. Adding the totals of two evaluators gives the totals of
            both streams: this is how the parts that several machines have seen become one result.
    """

    totals: np.ndarray

    def update(self, fields: Arrays, prediction: Arrays) -> None:
        """Count one batch; both are [B, ...] by name, and `fields` has the `index` of each."""
        ...

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield (name, value) for everything counted so far; a UserError if that is nothing."""
        ...


class Collector(Protocol):
    """Keeps something of an evaluation for the report, such as some samples."""

    def update(self, fields: Arrays, prediction: Arrays) -> None:
        """Look at one batch, and copy what is worth keeping; see `Evaluator.update`."""
        ...

    def packed(self) -> bytes:
        """Return what is kept, for `join`."""
        ...

    def join(self, parts: Iterable[bytes]) -> None:
        """Take over what collectors of disjoint parts have `packed`."""
        ...

    def section(self) -> Section:
        """Return what the report shows of it; nothing where its HTML is empty."""
        ...
