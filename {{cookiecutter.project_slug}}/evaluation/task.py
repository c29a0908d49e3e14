"""Semantic segmentation, apart from the framework: what is measured, checked, read and written.

The other half, `ops/task.py`, says what the model is given and what its outputs mean.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from configs.schema import Train
from evaluation.colours import class_colours
from evaluation.confusion import ConfusionMatrix
from evaluation.evaluator import Arrays, Collector, Evaluator
from evaluation.samples import SamplePicker
from ops.images import decode_image, overlay, resize_image, resize_mask
from utils import storage
from utils.errors import UserError
from utils.names import build, resolve

if TYPE_CHECKING:
    from ops.task import ModelIO

Triple = tuple[float, float, float]


class Task:
    """A class for each pixel of an image."""

    facts = ("class_names", "num_classes", "in_channels", "image_size", "ignore_index")
    """What a source says about its samples; task, model, loss and evaluators may ask for it."""
    endings = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
    """Of files in a folder that is given to `predict`."""

    def __init__(
        self,
        class_names: Sequence[str],
        in_channels: int,
        image_size: tuple[int, int],
        ignore_index: int,
        mean: Triple = (0.5, 0.5, 0.5),
        std: Triple = (0.25, 0.25, 0.25),
    ) -> None:
        """Take what the source says, and how images are normalised.

        Args:
            class_names: The name of each class; the position is the class index.
            in_channels: How many channels images have.
            image_size: Height and width in pixels of the images.
            ignore_index: The value of pixels in masks that count nowhere.
            mean: Subtracted from each channel once it is scaled to 0..1.
            std: What each channel is divided by after that; greater than 0.

        Raises:
            UserError: If `std` is not greater than 0.
        """
        if min(std) <= 0:
            raise UserError(f"task.std must be greater than 0. Received: {list(std)}")
        self.class_names = tuple(class_names)
        self.image_size = image_size
        self._in_channels = in_channels
        self._ignore_index = ignore_index
        self._mean, self._std = mean, std

    def __str__(self) -> str:
        """Return what is said about the samples at the start of a run."""
        return "at {}x{}".format(*self.image_size)

    @cached_property
    def io(self) -> "ModelIO":
        """What the model is given and what its outputs mean."""
        from ops.task import ModelIO  # which imports the framework

        return ModelIO(len(self.class_names), self.image_size, self._mean, self._std)

    def evaluators(self, train: Train) -> list[Evaluator]:
        """Return the confusion matrix with the configured metrics, and the other evaluators.

        Raises:
            UserError: If one of `train.metrics` or `train.evaluators` cannot be built.
        """
        names = self.class_names
        metrics = [
            partial(resolve(metric.target, "evaluation.metrics"), **metric.arguments)
            for metric in train.metrics
        ]
        confusion = ConfusionMatrix(len(names), self._ignore_index, metrics, names)
        offered = {
            "class_names": names,
            "num_classes": len(names),
            "in_channels": self._in_channels,
            "image_size": self.image_size,
            "ignore_index": self._ignore_index,
        }
        others = [build(e.target, e.arguments, offered=offered) for e in train.evaluators]
        return [confusion, *others]

    def collectors(self, names: Sequence[str], seed: int) -> list[Collector]:
        """Return what picks samples for the report; `names` are those of all samples."""
        return [SamplePicker(names, self.class_names, seed, self._ignore_index)]

    def may_lack(self, name: str) -> bool:
        """Return whether an evaluation may lack a value, since it is that of a single class."""
        return name.startswith("iou_")

    def check(self, batches: Iterable[Arrays]) -> Iterator[tuple[str, str, str]]:
        """Yield (verdict, what, finding) about the training samples, for `main.py check`."""
        values = np.zeros(256, np.int64)
        for fields in batches:
            values += np.bincount(fields["mask"].ravel(), minlength=len(values))
        shares = values / values.sum()
        named = list(zip(self.class_names, shares, strict=False))
        texts = [f"{name} {share:.2%}" for name, share in named]
        if shares[self._ignore_index]:
            texts.append(f"ignored {shares[self._ignore_index]:.2%}")
        yield "ok", "class shares", ", ".join(texts)
        absent = [name for name, share in named if not share]
        if absent:
            yield "warn", "class shares", f"no training sample shows {', '.join(absent)}"

    def lighter(self) -> Iterator[str]:
        """Yield what makes samples smaller, for those who run out of memory."""
        height, width = (max(side // 2, 1) for side in self.image_size)
        before = "{}x{}".format(*self.image_size)
        yield f"data.source.image_size=[{height},{width}] has a quarter of the pixels of {before}"

    def encode(self, images: np.ndarray) -> Arrays:
        """Return the fields that the model sees of images, uint8 [N, H, W, 3] of any size.

        Raises:
            UserError: If the images have another form.
        """
        is_batch = images.ndim == 4 and images.shape[-1] == 3 and len(images)
        if images.dtype != np.uint8 or not is_batch:
            raise UserError(
                f"images: received {images.dtype} {list(images.shape)}, expected uint8 "
                "[N, height, width, 3] with at least one image."
            )
        return {"image": np.stack([resize_image(image, self.image_size) for image in images])}

    def decode(self, prediction: Arrays, images: np.ndarray) -> np.ndarray:
        """Return the class of each pixel, uint8 [N, H, W], at the size of the images."""
        return np.stack([resize_mask(mask, images.shape[1:3]) for mask in prediction["mask"]])

    def read(self, path: str) -> tuple[np.ndarray, Arrays]:
        """Read a file to predict: the image, uint8 [H, W, 3], and the fields that the model sees.

        Raises:
            UserError: If it is not a readable image; the message names the file.
        """
        content, name = storage.read_bytes(path), storage.shown(path)
        small = decode_image(content, name, self.image_size)  # as in training
        return decode_image(content, name), {"image": np.array(small)[None]}

    def write(
        self, folder: Path, stem: str, image: np.ndarray, prediction: Arrays
    ) -> Sequence[Path]:
        """Write what was predicted for one image, at the image's own size.

        `<stem>_mask.png` holds class indices (with a palette, so that it can be looked at),
        `<stem>_overlay.png` shows them over the image.

        Raises:
            OSError: If a file cannot be written.
        """
        files = [folder / f"{stem}_mask.png", folder / f"{stem}_overlay.png"]
        mask = resize_mask(prediction["mask"][0], image.shape[:2])
        colours = class_colours(self.class_names)[: len(self.class_names)]
        picture = Image.fromarray(mask)
        picture.putpalette(colours.ravel().tolist())
        picture.save(files[0])
        Image.fromarray(overlay(image, mask, colours)).save(files[1])
        return files
