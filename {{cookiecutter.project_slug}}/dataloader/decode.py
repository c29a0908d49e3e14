"""Reads every sample of a split into arrays, and sorts out the bad ones."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dataloader.sample import IGNORE_INDEX, Split
from utils.errors import UserError

Progress = Callable[[int, int], None]
"""Called with the number of samples that are done and the number of all."""

_CHUNK = 16  # samples a thread takes at once
_MOST_SHOWN = 5  # bad samples listed in a message
_LEAVE_OUT = (
    "Or leave bad samples out: data.on_bad_sample=skip (data.bad_sample_limit says how many)."
)


class _BadSampleError(Exception):
    """One sample cannot be used; says which and why."""


@dataclass(frozen=True)
class Reading:
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
        """Read one sample and hold it to what `dataloader.sample.Split` promises.

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
