"""A point in an image: everything about the task that needs no framework."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from evaluation.evaluator import Arrays, PredictedFile, Section
from PIL import Image


class Task:
    """Finds one point."""

    facts = ("side",)
    titles: ClassVar[dict[str, str]] = {"distance": "Mean distance"}
    endings = (".png",)

    def __init__(self, side: int) -> None:
        self._side = side

    def __str__(self) -> str:
        return f"of {self._side} pixels"

    @cached_property
    def io(self) -> Any:
        """The other half."""
        from ops.points import PointIO

        return PointIO(self._side)

    def evaluators(self, train: Any) -> list["Distance"]:
        """Return what is measured."""
        return [Distance()]

    def collectors(self, names: Sequence[str], seed: int) -> list[Any]:
        """Return what keeps samples for the report: nothing."""
        return []

    def may_lack(self, name: str) -> bool:
        """Return whether an evaluation may lack a value."""
        return False

    def check(self, batches: Iterable[Arrays]) -> Iterator[tuple[str, str, str]]:
        """Yield what there is to say about the training samples."""
        mean = np.concatenate([fields["point"] for fields in batches]).mean(0)
        yield "ok", "mean point", f"{mean[0]:.2f}, {mean[1]:.2f}"

    def lighter(self) -> Iterator[str]:
        """Yield what makes samples smaller."""
        return iter(())

    def encode(self, pictures: np.ndarray) -> Arrays:
        """Return the fields that the model sees."""
        return {"picture": pictures}

    def decode(self, prediction: Arrays, pictures: np.ndarray) -> np.ndarray:
        """Return the points in pixels, float32 [N, 2]."""
        return np.asarray(prediction["point"] * self._side)

    def read(self, path: str) -> tuple[np.ndarray, Arrays]:
        """Read a picture."""
        with Image.open(path) as picture:
            pixels = np.array(picture.convert("L"))[..., None]
        return pixels, {"picture": pixels[None]}

    def write(self, folder: Path, files: Iterable[PredictedFile]) -> Iterator[Path]:
        """Write the point of each file, as shares of the picture's sides."""
        for file in files:
            path = folder / f"{file.path.stem}.json"
            path.write_text(json.dumps(file.prediction["point"][0].tolist()), encoding="utf-8")
            yield path


class Distance:
    """The mean distance between points."""

    def __init__(self) -> None:
        self.totals = np.zeros(2)

    def update(self, fields: Arrays, prediction: Arrays) -> None:
        """Count a batch."""
        distances = np.linalg.norm(fields["point"] - prediction["point"], axis=1)
        self.totals += distances.sum(), len(distances)

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield the mean."""
        yield "distance", float(self.totals[0] / self.totals[1])

    def section(self) -> Section:
        """Say it in the report."""
        mean = next(self.results())[1]
        return Section(f"<p>The mean distance is {mean:.3f}.</p>", facts={"distance": mean})
