"""What sources of images and masks share: the fields of a sample, its size and its classes."""

from collections.abc import Mapping, Sequence
from typing import Any

from dataloader.sample import Field
from utils.errors import UserError

IGNORE_INDEX = 255
"""A mask value that counts nowhere: neither in the loss nor in a metric."""
_MAX_CLASSES = 255  # so that every class index and IGNORE_INDEX fit in one byte
_CHANNELS = 3


class LabelledImages:
    """The part of a source that says what its samples are.

    A sample is an image, uint8 [height, width, 3] RGB, and a mask, uint8 [height, width] of class
    indices and IGNORE_INDEX.
    """

    def __init__(self, class_names: object, image_size: object) -> None:
        """Check the arguments; see `checked_class_names` and `checked_size`."""
        self.class_names = checked_class_names(class_names)
        self.image_size = checked_size(image_size)

    @property
    def spec(self) -> Mapping[str, Field]:
        """The fields of every sample, by name."""
        mask = Field(self.image_size, labels=len(self.class_names), ignored=IGNORE_INDEX)
        return {"image": Field((*self.image_size, _CHANNELS)), "mask": mask}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What task, model, loss and evaluators may ask for by name."""
        return {
            "class_names": self.class_names,
            "num_classes": len(self.class_names),
            "in_channels": _CHANNELS,
            "image_size": self.image_size,
            "ignore_index": IGNORE_INDEX,
        }


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


def checked_size(image_size: object) -> tuple[int, int]:
    """Return (height, width); one number is a square. A UserError refuses anything else."""
    sides: Sequence[object] = (
        image_size if isinstance(image_size, list | tuple) else (image_size, image_size)
    )
    if len(sides) == 2 and all(type(side) is int and side >= 1 for side in sides):
        return sides[0], sides[1]  # type: ignore[return-value]
    raise UserError(
        "image_size must be a number of pixels, or [height, width], each at least 1. "
        f"Received: {image_size!r}"
    )
