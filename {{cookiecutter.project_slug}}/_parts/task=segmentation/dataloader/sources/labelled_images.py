"""What sources of images and masks share: the fields of a sample, its size and its classes."""

from collections.abc import Mapping
from typing import Any

from dataloader.sample import Field
from dataloader.sources.image_files import checked_channels, checked_class_names, checked_size

IGNORE_INDEX = 255
"""A mask value that counts nowhere: neither in the loss nor in a metric."""
_MAX_CLASSES = 255  # so that every class index and IGNORE_INDEX fit in one byte


class LabelledImages:
    """The part of a source that says what its samples are.

    A sample is an image, uint8 [height, width, channels], and a mask, uint8 [height, width] of
    class indices and IGNORE_INDEX.
    """

    def __init__(self, class_names: object, image_size: object, channels: int = 3) -> None:
        """Check the arguments; see `dataloader.sources.image_files`."""
        self.class_names = checked_class_names(class_names, _MAX_CLASSES)
        self.image_size = checked_size(image_size)
        self.channels = checked_channels(channels)

    @property
    def spec(self) -> Mapping[str, Field]:
        """The fields of every sample, by name."""
        mask = Field(self.image_size, labels=len(self.class_names), ignored=IGNORE_INDEX)
        return {"image": Field((*self.image_size, self.channels)), "mask": mask}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What task, model, loss and evaluators may ask for by name."""
        return {
            "class_names": self.class_names,
            "num_classes": len(self.class_names),
            "in_channels": self.channels,
            "image_size": self.image_size,
            "ignore_index": IGNORE_INDEX,
        }
