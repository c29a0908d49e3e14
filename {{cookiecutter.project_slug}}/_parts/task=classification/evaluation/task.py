"""Classification of images, apart from the framework: what is measured, checked, read and written.

The other half, `ops/task.py`, says what the model is given and what its outputs mean.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from configs.schema import Train
from evaluation.counts import ClassCounts
from evaluation.evaluator import Arrays, Collector, Evaluator, PredictedFile, Section
from evaluation.samples import Sample, SamplePicker
from ops.images.arrays import checked_images, checked_shown, per_channel, resize, visible
from ops.images.files import decode_image, endings_of
from utils import storage
from utils.errors import first_few
from utils.names import build, resolve

if TYPE_CHECKING:
    from ops.task import ModelIO

_SHOWN = 64  # images in the overview of predictions


class Task:
    """A class for each image."""

    facts = ("class_names", "num_classes", "in_channels", "image_size")
    """What a source says about its samples; task, model, loss and evaluators may ask for it."""
    titles: ClassVar[dict[str, str]] = {"f1": "F1", "ece": "Calibration error"}
    """The names of metrics for people, where the plain ones do not do."""

    def __init__(
        self,
        class_names: Sequence[str],
        in_channels: int,
        image_size: tuple[int, int],
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        auxiliary_weight: float = 0.4,
        shown_channels: Sequence[int] | None = None,
    ) -> None:
        """Take what the source says, and what the model is given and returns.

        Args:
            class_names: The name of each class; the position is the class index.
            in_channels: How many channels images have.
            image_size: Height and width in pixels of the images.
            mean: Subtracted from the channels once they are scaled to 0..1; a number for all of
                them, or one for each.
            std: What the channels are divided by after that, likewise; greater than 0.
            auxiliary_weight: Weight of the loss of each auxiliary output, if the model has any.
            shown_channels: Which channels people see as red, green and blue, from 0; None: the
                first three.

        Raises:
            UserError: If `mean`, `std` or `shown_channels` do not fit the images.
        """
        self.class_names = tuple(class_names)
        self.image_size = image_size
        self._in_channels = in_channels
        self._shown_channels = checked_shown(shown_channels, in_channels)
        self._mean = per_channel("task.mean", mean, in_channels)
        self._std = per_channel("task.std", std, in_channels, above=0.0)
        self._auxiliary_weight = auxiliary_weight

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
        return ModelIO(classes, self.image_size, self._mean, self._std, self._auxiliary_weight)

    def evaluators(self, train: Train) -> list[Evaluator]:
        """Return the counts with the configured metrics, and the other evaluators.

        Raises:
            UserError: If one of `train.metrics` or `train.evaluators` cannot be built.
        """
        names = self.class_names
        metrics = [
            partial(resolve(metric.target, "evaluation.metrics"), **metric.arguments)
            for metric in train.metrics
        ]
        offered = {
            "class_names": names,
            "num_classes": len(names),
            "in_channels": self._in_channels,
            "image_size": self.image_size,
        }
        others = [build(e.target, e.arguments, offered=offered) for e in train.evaluators]
        return [ClassCounts(len(names), metrics, names), *others]

    def collectors(self, names: Sequence[str], seed: int) -> list[Collector]:
        """Return what picks samples for the report; `names` are those of all samples."""

        def score(fields: Arrays, prediction: Arrays) -> np.ndarray:
            shares = prediction["probabilities"]
            return shares[np.arange(len(shares)), fields["label"]].astype(np.float64)

        def show(chosen: Sequence[Sample]) -> Section:
            from evaluation.sections import samples  # charts, which nothing else needs

            shown = [
                one.with_field("image", visible(one.fields["image"], self._shown_channels))
                for one in chosen
            ]
            return samples(shown, self.class_names)

        return [SamplePicker(names, seed, score, show)]

    def is_detail(self, name: str) -> bool:
        """Return whether a value is that of a single class, and so no headline of the report."""
        return name.startswith("f1_")

    def check(self, batches: Iterable[Arrays]) -> Iterator[tuple[str, str, str]]:
        """Yield (verdict, what, finding) about the training samples, for `main.py check`."""
        counts = np.zeros(len(self.class_names), np.int64)
        for fields in batches:
            counts += np.bincount(fields["label"], minlength=len(counts))
        named = list(zip(self.class_names, counts.tolist(), strict=True))
        yield "ok", "classes", first_few([f"{name} {count:,}" for name, count in named], 10)
        absent = [name for name, count in named if not count]
        if absent:
            yield "warn", "classes", f"no training sample shows {first_few(absent)}"

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
        return {"image": np.stack([resize(image, self.image_size) for image in images])}

    def decode(self, prediction: Arrays, images: np.ndarray) -> np.ndarray:
        """Return the class index of each image, int32 [N]."""
        return prediction["label"]

    def read(self, path: str) -> tuple[np.ndarray, Arrays]:
        """Read a file to predict: the image, uint8 [h, w, channels], and what the model sees of it.

        Raises:
            UserError: If it is not a readable image; the message names the file.
        """
        content, name = storage.read_bytes(path), storage.shown(path)
        image = decode_image(content, name, self._in_channels, self.image_size)
        return image, {"image": np.array(image)[None]}

    def write(self, folder: Path, files: Iterable[PredictedFile]) -> Iterator[Path]:
        """Write `predictions.csv` and `overview.png`, and yield both paths.

        The table has a line for each file: its path, the likeliest class, and the probability of
        every class. The overview shows the first images.

        Raises:
            OSError: If a file cannot be written.
        """
        predicted = list(files)
        table = folder / "predictions.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "label", *(f"probability_{n}" for n in self.class_names)])
            for one in predicted:
                shares = one.prediction["probabilities"][0]
                label = self.class_names[int(one.prediction["label"][0])]
                writer.writerow([one.path, label, *(f"{share:.6f}" for share in shares)])
        yield table
        picture = folder / "overview.png"
        picture.write_bytes(self._overview(predicted[:_SHOWN]))
        yield picture

    def _overview(self, predicted: Sequence[PredictedFile]) -> bytes:
        from evaluation.charts import INK, MUTED, png  # charts, which nothing else needs
        from evaluation.class_charts import overview, percent

        titles = []
        for one in predicted:
            label = int(one.prediction["label"][0])
            share = percent(float(one.prediction["probabilities"][0, label]))
            titles.append([(one.path.name, MUTED), (self.class_names[label], INK), (share, MUTED)])
        images = [visible(one.content, self._shown_channels) for one in predicted]
        return png(overview(images, titles))
