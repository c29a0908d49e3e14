"""The sample data: handwritten digits, 8x8 pixels each, which come with scikit-learn."""

from collections.abc import Sequence

import numpy as np

from dataloader.sample import check_split_name
from dataloader.sources.labelled_files import LabelledImages
from dataloader.sources.scikit_learn import SPLIT_ROWS, handwritten_digits
from ops.images.arrays import resize
from utils.errors import UserError

VERSION = 1  # raise it whenever a digit would look different: it is part of the fingerprint


class Digits(LabelledImages):
    """1,797 grey digits of 13 writers; no writer is in two of training, validation and test."""

    def __init__(
        self,
        image_size: int | Sequence[int] = 16,
        train: int = 1029,
        validation: int = 386,
        test: int = 382,
    ) -> None:
        """Check the arguments.

        Args:
            image_size: Height and width in pixels that the digits are enlarged to; one number for
                a square.
            train: How many digits to learn from, 1 to 1,029; as many as there are by default.
            validation: How many to validate on, 1 to 386.
            test: How many to test on, 1 to 382.

        Raises:
            UserError: If the size is impossible, or there are not so many digits.
        """
        super().__init__([str(digit) for digit in range(10)], image_size, channels=1)
        self._counts = {"train": train, "validation": validation, "test": test}
        for name, (first, end) in SPLIT_ROWS.items():
            if not 1 <= self._counts[name] <= end - first:
                raise UserError(
                    f"data.source.{name} must be 1 to {end - first}, the number of digits of that "
                    f"split. Received: {self._counts[name]}"
                )

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever a digit would."""
        return f"digits-{VERSION}-{self.image_size}-{self._counts}"

    def split(self, name: str) -> "DigitSplit":
        """Return "train", "validation" or "test"."""
        check_split_name(name)
        first = SPLIT_ROWS[name][0]
        return DigitSplit((first, first + self._counts[name]), self.image_size)


class DigitSplit:
    """The digits of one split; see `dataloader.sample.Split`."""

    def __init__(self, rows: tuple[int, int], size: tuple[int, int]) -> None:
        """Read the digits of some rows of the file; `size` is their height and width."""
        self._first, self._size = rows[0], size
        ink, labels = handwritten_digits()
        self._ink, self._labels = ink[slice(*rows)], labels[slice(*rows)]

    def __len__(self) -> int:
        """Return the number of digits."""
        return len(self._labels)

    def name(self, index: int) -> str:
        """Return the digit's number in the file, in words."""
        return f"digit {self._first + index}"

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Return one digit, light on dark; see `dataloader.sample.Split`."""
        # With a dark edge, which what moves the digit repeats: some digits touch the edge.
        framed = np.pad(self._ink[index], 1)
        return {
            "image": resize(framed[..., None], self._size),
            "label": self._labels[index],
        }
