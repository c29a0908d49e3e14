"""The samples of a split, each decoded when it is first needed, and from then on a row of bytes."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataloader.decode import BadSampleError, read_row
from dataloader.packing import Layout
from dataloader.row_store import RowStore
from dataloader.sample import Split
from utils.errors import UserError, first_few
from utils.logs import log

_AT_ONCE = 16  # samples
_SECONDS_BETWEEN_LINES = 5.0  # of the progress
_LEAVE_OUT = "leave bad samples out: data.on_bad_sample=skip (data.bad_sample_limit says how many)."


@dataclass(frozen=True)
class DecodeOptions:
    """How a split is decoded and kept."""

    workers: int = 0
    """Threads where all samples are wanted at once; 0 decodes in the calling thread."""
    cache: Literal["auto", "memory", "disk"] = "auto"
    """Where rows are kept. "auto": in memory if that is little, otherwise on disk if there is room,
    otherwise in memory if they fit in half of what is available."""
    directory: str | None = None
    """A local folder for rows on disk, where the next run finds them; None: a temporary one."""
    may_skip: int = 0
    """How many bad samples are left out, with a warning for each; 0: the first is an error."""


class Decoded:
    """The samples of a split; threads may take some at the same time."""

    def __init__(
        self,
        split: Split,
        layout: Layout,
        store: RowStore,
        options: DecodeOptions,
        title: str,
        kept: np.ndarray | None = None,
    ) -> None:
        """Nothing is decoded yet; `kept`, int64 [N], are the samples that are used, None: all."""
        self.layout = layout
        self._split = split
        self._store = store
        self._options = options
        self._title = title
        self._kept = np.arange(len(split), dtype=np.int64) if kept is None else kept

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._kept)

    @property
    def names(self) -> tuple[str, ...]:
        """The samples' names for people."""
        return tuple(self._split.name(index) for index in self._kept.tolist())

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return self.layout.row_bytes

    @property
    def fields(self) -> Mapping[str, np.ndarray]:
        """All samples, [N, ...] by name; a field is gathered when it is asked for."""
        return _Columns(self)

    def known_field(self, name: str) -> np.ndarray | None:
        """Return a field of all samples, [N, ...], if the split knows it without decoding."""
        known = getattr(self._split, "known_fields", {})
        return known[name][self._kept] if name in known else None

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return copies of some samples, side by side: [B, ...] by name.

        Raises:
            UserError: If one that was not decoded before is bad; of several, the first.
        """
        numbers = self._kept[indices]
        rows = np.empty((len(numbers), self.layout.row_bytes), np.uint8)
        for place in np.flatnonzero(~self._store.read(numbers, rows)).tolist():
            try:
                self._decode(int(numbers[place]), rows[place])
            except BadSampleError as error:
                raise UserError(f"{error}\nOr {_LEAVE_OUT}") from error
        return self.layout.fields(rows)

    def first(self, count: int) -> "Decoded":
        """Return the first samples, at most all."""
        return self._with(self._kept[:count])

    def without_bad_samples(self) -> "Decoded":
        """Decode all that is not decoded yet; return the samples that can be used.

        Bad ones are counted in the split's order, so the number of threads changes nothing.

        Raises:
            UserError: If more are bad than may be left out, or none remains.
        """
        bad: dict[int, str] = {}
        with closing(self._decode_all()) as parts:
            for done, found in parts:
                bad.update(found)
                if not self._options.may_skip and bad:
                    raise UserError(f"{next(iter(bad.values()))}\nOr {_LEAVE_OUT}")
                if self._options.may_skip < len(bad) or len(bad) == len(self):
                    raise self._too_many(list(bad.values()), done)
        for reason in bad.values():
            log.warning("left out of the %s: %s", self._title, " ".join(reason.split()))
        return self._with(self._kept[~np.isin(self._kept, list(bad))])

    def _with(self, kept: np.ndarray) -> "Decoded":
        parts = (self._split, self.layout, self._store, self._options, self._title)
        return Decoded(*parts, kept)

    def _too_many(self, reasons: Sequence[str], done: int) -> UserError:
        shown = first_few([" ".join(reason.split()) for reason in reasons], separator="\n  ")
        return UserError(
            f"The {self._title} has {len(reasons)} bad samples among its first {done} of "
            f"{len(self)}; data.bad_sample_limit={self._options.may_skip} may be left out, and one "
            f"at least must remain:\n  {shown}\nCorrect or remove these files, or raise the limit."
        )

    def _decode_all(self) -> Generator[tuple[int, dict[int, str]]]:
        """Yield how many samples are done, and which of the last ones are bad, and why."""
        starts = range(0, len(self), _AT_ONCE)
        next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        with ExitStack() as stack:
            results: Iterator[dict[int, str]] = map(self._decode_some, starts)
            if self._options.workers > 0:
                pool = ThreadPoolExecutor(self._options.workers, thread_name_prefix="decode")
                stack.callback(pool.shutdown, cancel_futures=True)
                results = pool.map(self._decode_some, starts)
            for start, bad in zip(starts, results, strict=True):
                done = min(start + _AT_ONCE, len(self))
                yield done, bad
                if time.monotonic() >= next_line:
                    next_line += _SECONDS_BETWEEN_LINES
                    log.info("decoding  %d of %d samples of the %s", done, len(self), self._title)

    def _decode_some(self, start: int) -> dict[int, str]:
        """Decode some samples that are not kept yet; return which are bad, and why."""
        numbers, bad = self._kept[start : start + _AT_ONCE], {}
        rows = np.empty((len(numbers), self.layout.row_bytes), np.uint8)
        for place in np.flatnonzero(~self._store.read(numbers, rows)).tolist():
            number = int(numbers[place])
            try:
                self._decode(number, rows[place])
            except BadSampleError as error:
                bad[number] = str(error)
                if not self._options.may_skip:
                    break
        return bad

    def _decode(self, number: int, row: np.ndarray) -> None:
        read_row(self._split, self.layout, number, row)
        self._store.write(number, row)
        together = getattr(self._split, "together", None)
        for other in () if together is None else together(number):
            if other != number:
                beside = np.empty_like(row)
                read_row(self._split, self.layout, other, beside)
                self._store.write(other, beside)


class _Columns(Mapping[str, np.ndarray]):
    """The fields of all samples, by name."""

    def __init__(self, decoded: Decoded) -> None:
        self._decoded = decoded

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded.layout.spec)

    def __len__(self) -> int:
        return len(self._decoded.layout.spec)

    def __getitem__(self, name: str) -> np.ndarray:
        known = self._decoded.known_field(name)
        if known is not None:
            return known
        decoded, field = self._decoded.without_bad_samples(), self._decoded.layout.spec[name]
        column = np.empty((len(decoded), *field.shape), field.dtype)
        for start in range(0, len(decoded), _AT_ONCE):
            some = np.arange(start, min(start + _AT_ONCE, len(decoded)))
            column[some] = decoded.take(some)[name]
        return column
