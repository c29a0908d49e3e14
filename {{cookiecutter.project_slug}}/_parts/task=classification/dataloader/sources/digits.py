"""The sample data: handwritten digits, 8x8 pixels each, which come with scikit-learn."""

from collections.abc import Sequence

import numpy as np

from dataloader.sample import check_split_name
from dataloader.sources.labelled_files import LabelledImages
from dataloader.sources.scikit_learn import SPLIT_ROWS, handwritten_digits
from ops.images import resize


class Digits(LabelledImages):
    """1,797 grey digits of 13 writers; no writer is in two of training, validation and test."""

    fingerprint = "digits-1"

    def __init__(self, image_size: int | Sequence[int] = 16) -> None:
        """Check the size.

        Args:
            image_size: Height and width in pixels that the digits are enlarged to; one number for
                a square.

        Raises:
            UserError: If the size is impossible.
        """
        super().__init__([str(digit) for digit in range(10)], image_size, channels=1)

    def split(self, name: str) -> "DigitSplit":
        """Return "train", "validation" or "test": 1,029, 386 and 382 digits."""
        check_split_name(name)
        return DigitSplit(SPLIT_ROWS[name], self.image_size)


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
        return {
            "image": resize(self._ink[index][..., None], self._size),
            "label": self._labels[index],
        }
