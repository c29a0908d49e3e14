"""What sources of images with a class each share: the fields of a sample, and files as a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataloader.sample import Field
from dataloader.sources.image_files import (
    ShownPath,
    checked_channels,
    checked_class_names,
    checked_size,
)
from ops.images.files import decode_image
from utils.storage import exists, is_remote, read_bytes

_MAX_CLASSES = 4096  # so that their confusion matrix fits into memory


class LabelledImages:
    """The part of a source that says what its samples are.

    A sample is an image, uint8 [height, width, channels], and a label, int32 []: a class index.
    Samples that are weighted have a weight, too, float32 [].
    """

    def __init__(
        self, class_names: object, image_size: object, channels: int, weighted: bool = False
    ) -> None:
        """Check the arguments; see `dataloader.sources.image_files`."""
        self.class_names = checked_class_names(class_names, _MAX_CLASSES)
        self.image_size = checked_size(image_size)
        self.channels = checked_channels(channels)
        self._weighted = weighted

    @property
    def spec(self) -> Mapping[str, Field]:
        """The fields of every sample, by name."""
        fields = {
            "image": Field((*self.image_size, self.channels)),
            "label": Field((), "int32", labels=len(self.class_names)),
        }
        return {**fields, "weight": Field((), "float32")} if self._weighted else fields

    @property
    def facts(self) -> Mapping[str, Any]:
        """What task, model, loss and evaluators may ask for by name."""
        return {
            "class_names": self.class_names,
            "num_classes": len(self.class_names),
            "in_channels": self.channels,
            "image_size": self.image_size,
        }


@dataclass(frozen=True)
class LabelledFile:
    """One sample: a name, which may hold the folder, the path or URL of its image, its class."""

    name: str
    path: str
    label: int
    weight: float | None = None


class LabelledFiles:
    """A split of image files; see `dataloader.sample.Split`.

    An image is used as people see it, its EXIF orientation applied.
    """

    def __init__(self, files: Sequence[LabelledFile], size: tuple[int, int], channels: int) -> None:
        """Keep the list, which is in a lasting order; no file is opened yet.

        `size` is (height, width) in pixels of what is read, and `channels` how many it has.
        """
        self.files = tuple(files)
        self._size = size
        self._channels = channels

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.files)

    @property
    def known_bad(self) -> list[int]:
        """The samples whose file is not there."""
        return [n for n, f in enumerate(self.files) if not is_remote(f.path) and not exists(f.path)]

    @property
    def known_fields(self) -> dict[str, np.ndarray]:
        """Classes, and weights if there are any."""
        fields = {"label": np.array([file.label for file in self.files], np.int32)}
        if self.files[0].weight is not None:
            fields["weight"] = np.array([file.weight for file in self.files], np.float32)
        return fields

    def name(self, index: int) -> str:
        """Return the file's name."""
        return self.files[index].name

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Decode and resize one image; see `Split`."""
        file = self.files[index]
        content, name = read_bytes(file.path), ShownPath(file.path)
        image = decode_image(content, name, self._channels, self._size)
        fields = {"image": image, "label": np.array(file.label, np.int32)}
        weight = {} if file.weight is None else {"weight": np.array(file.weight, np.float32)}
        return fields | weight
