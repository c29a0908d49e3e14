"""Semantic segmentation, apart from the framework: what is measured, checked, read and written.

The other half, `ops/task.py`, says what the model is given and what its outputs mean.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from configs.schema import Train
from evaluation.colours import class_colours
from evaluation.confusion import ConfusionMatrix, image_iou
from evaluation.evaluator import Arrays, Collector, Evaluator, PredictedFile, Section
from evaluation.samples import Sample, SamplePicker
from ops.images.arrays import checked_images, checked_shown, per_channel, visible
from ops.images.files import decode_image, endings_of
from ops.images.framing import Framing
from ops.images.masks import overlay
from utils import storage
from utils.names import build, resolve

if TYPE_CHECKING:
    from ops.task import ModelIO


class Task:
    """A class for each pixel of an image."""

    facts = ("class_names", "num_classes", "in_channels", "image_size", "ignore_index")
    """What a source says about its samples; task, model, loss and evaluators may ask for it."""
    titles: ClassVar[dict[str, str]] = {"mean_iou": "Mean IoU"}
    """The names of metrics for people, where the plain ones do not do."""

    def __init__(
        self,
        class_names: Sequence[str],
        in_channels: int,
        image_size: tuple[int, int],
        ignore_index: int,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        auxiliary_weight: float = 0.4,
        shown_channels: Sequence[int] | None = None,
        mask_values: Sequence[int] | None = None,
        framing: Mapping[str, Any] | None = None,
    ) -> None:
        """Take what the source says, and what the model is given and returns.

        Args:
            class_names: The name of each class; the position is the class index.
            in_channels: How many channels images have.
            image_size: Height and width in pixels of the images.
            ignore_index: The value of pixels in masks that count nowhere.
            mean: Subtracted from the channels once they are scaled to 0..1; a number for all of
                them, or one for each.
            std: What the channels are divided by after that, likewise; greater than 0.
            auxiliary_weight: Weight of the loss of each auxiliary output, if the model has any.
            shown_channels: Which channels people see as red, green and blue, from 0; None: the
                first three.
            mask_values: What each class is in the masks that `predict` writes, 0 to 255; None: its
                index.
            framing: How images of any size become `image_size`, as in `ops.images.framing.Framing`;
                None: they are stretched.

        Raises:
            UserError: If `mean`, `std` or `shown_channels` do not fit the images.
        """
        self.class_names = tuple(class_names)
        self.image_size = image_size
        self._in_channels = in_channels
        self._ignore_index = ignore_index
        self._shown_channels = checked_shown(shown_channels, in_channels)
        self._mean = per_channel("task.mean", mean, in_channels)
        self._std = per_channel("task.std", std, in_channels, above=0.0)
        self._auxiliary_weight = auxiliary_weight
        values = range(len(self.class_names)) if mask_values is None else mask_values
        self._mask_values = np.array(values, np.uint8)
        self._framing = Framing(image_size, **(framing or {}))

    @property
    def endings(self) -> tuple[str, ...]:
        """Of files in a folder that is given to `predict`."""
        return endings_of(self._in_channels)

    def __str__(self) -> str:
        """Return what is said about the samples at the start of a run."""
        return "at {}x{}".format(*self.image_size)

    @cached_property
    def io(self) -> "ModelIO":
        """What the model is given and what its outputs mean."""
        from ops.task import ModelIO  # which imports the framework

        classes = len(self.class_names)
        return ModelIO(
            classes,
            self.image_size,
            self._mean,
            self._std,
            self._auxiliary_weight,
            answers_in_masks=self._framing.is_to_scale,
        )

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

        def score(fields: Arrays, prediction: Arrays) -> np.ndarray:
            return image_iou(fields["mask"], prediction["mask"], self._ignore_index)

        def show(chosen: Sequence[Sample]) -> Section:
            from evaluation.sections import samples  # charts, which nothing else needs

            shown = [
                one.with_field("image", visible(one.fields["image"], self._shown_channels))
                for one in chosen
            ]
            return samples(shown, self.class_names, self._ignore_index)

        return [SamplePicker(names, seed, score, show)]

    def is_detail(self, name: str) -> bool:
        """Return whether a value is that of a single class, and so no headline of the report."""
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
        """Return the fields that the model sees of images, uint8 [N, H, W, channels].

        They may have any size.

        Raises:
            UserError: If the images have another form.
        """
        checked_images(images, self._in_channels)
        return {"image": np.concatenate([self._framing.framed(image) for image in images])}

    def decode(self, prediction: Arrays, images: np.ndarray) -> np.ndarray:
        """Return the class of each pixel, uint8 [N, H, W], at the size of the images."""
        parts = {name: np.split(array, len(images)) for name, array in prediction.items()}
        return np.stack(
            [
                self._mask({name: arrays[number] for name, arrays in parts.items()}, image)
                for number, image in enumerate(images)
            ]
        )

    def _mask(self, prediction: Arrays, image: np.ndarray) -> np.ndarray:
        """Return the classes of an image, uint8 [h, w], from what was predicted for its windows."""
        size = image.shape[:2]
        if "mask" in prediction:
            return self._framing.joined(prediction["mask"], size)
        return self._framing.likeliest(prediction["probabilities"], size)

    def read(self, path: str) -> tuple[np.ndarray, Arrays]:
        """Read a file to predict: the image, uint8 [h, w, channels], and what the model sees of it.

        Raises:
            UserError: If it is not a readable image; the message names the file.
        """
        content, name, channels = storage.read_bytes(path), storage.shown(path), self._in_channels
        image = decode_image(content, name, channels)
        scaled = decode_image(content, name, channels, self._framing.scaled(image.shape[:2]))
        windows = self._framing.windows(image.shape[:2])  # from the same pixels as in training
        return image, {"image": np.stack([self._framing.cut(scaled, one) for one in windows])}

    def save(self, folder: Path, file: PredictedFile) -> list[Path]:
        """Write what was predicted for an image, at its own size; called by several threads.

        `<name>_mask.png` holds the values of the source's masks, or else class indices (with a
        palette, so that it can be looked at), `<name>_overlay.png` shows them over the image.

        Returns:
            The files written.

        Raises:
            OSError: If a file cannot be written.
        """
        colours = class_colours(self.class_names)[: len(self.class_names)]
        palette = np.zeros((256, 3), np.uint8)
        palette[self._mask_values] = colours
        mask = self._mask(file.prediction, file.content)
        picture = Image.fromarray(self._mask_values[mask])
        picture.putpalette(palette.ravel().tolist())
        shown = Image.fromarray(overlay(visible(file.content, self._shown_channels), mask, colours))
        paths = []
        for ending, one in (("mask", picture), ("overlay", shown)):
            paths.append(folder / f"{file.name}_{ending}.png")
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            one.save(paths[-1], compress_level=1)  # a fifth of the time, for a third more bytes
        return paths
