"""What a data source is: anything with these few names can be put in `data.source`."""

from typing import Protocol

import numpy as np

from utils.errors import UserError

# A mask value that counts nowhere: neither in the loss nor in a metric.
IGNORE_INDEX = 255
_MAX_CLASSES = 255  # so that every class index and IGNORE_INDEX fit in one byte
SPLITS = ("train", "validation", "test")


class Split(Protocol):
    """A numbered list of images with their masks."""

    def __len__(self) -> int:
        """Return the number of samples, at least 1."""
        ...

    def read(self, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Decode one sample; called from several threads at once.

        Args:
            index: Which sample, 0 to len - 1.
            size: (height, width) in pixels of what is returned.

        Returns:
            The image, uint8 [height, width, 3] RGB, and the mask, uint8 [height, width], whose
            values are class indices or IGNORE_INDEX.

        Raises:
            UserError: If the sample cannot be read; the message names the file.
        """
        ...

    def name(self, index: int) -> str:
        """Return a short name for people, for example "Abyssinian_100" or "scene 12"."""
        ...


class Source(Protocol):
    """A data set: its classes and its splits."""

    class_names: tuple[str, ...]
    """The name of each class; the position is the class index. At most 255."""

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the decoded content would; keys the disk cache."""
        ...

    def split(self, name: str) -> Split:
        """Return "train", "validation" or "test".

        Raises:
            UserError: If the source has no such split, or the split is empty.
        """
        ...


def checked_class_names(class_names: object) -> tuple[str, ...]:
    """Return class names as a tuple; a UserError refuses all but 1 to 255 different texts."""
    if isinstance(class_names, str) or not isinstance(class_names, list | tuple):
        raise UserError(f"class_names must be a list of names. Received: {class_names!r}")
    names = tuple(str(name) for name in class_names)
    if not 1 <= len(names) <= _MAX_CLASSES or len(set(names)) < len(names):
        raise UserError(
            f"class_names must hold 1 to {_MAX_CLASSES} different names. Received: {list(names)}"
        )
    return names


def check_split_name(name: str) -> None:
    """Refuse anything but the names of the three splits, with a UserError."""
    if name not in SPLITS:
        raise UserError(f"There is no split {name!r}. The splits are: {', '.join(SPLITS)}.")
