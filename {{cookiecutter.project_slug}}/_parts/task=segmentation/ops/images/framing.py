"""How pictures of any size become windows of one size, and what is predicted for these a whole."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from PIL import Image

from ops.images.arrays import resize
from utils.errors import UserError

FITS = ("stretch", "pad", "crop", "windows")


@dataclass(frozen=True)
class Window:
    """A part of a picture, and the part of it that no other window answers for; in pixels."""

    top: int
    left: int
    core: tuple[int, int, int, int]
    """Top, left, bottom and right; the cores of a picture's windows are the picture."""


@dataclass(frozen=True)
class Framing:
    """What a model sees of a picture.

    - `stretch`: the whole, without its aspect ratio.
    - `pad`: the whole, scaled until it fits, with black beside it.
    - `crop`: windows along the longer side, of a picture whose shorter side is scaled to fit.
    - `windows`: windows of a picture that is `scale` times as large as it is.
    """

    size: tuple[int, int]
    """Height and width of what the model sees, in pixels."""
    fit: str = "stretch"
    """One of `FITS`."""
    overlap: float = 0.25
    """The share of its side that a window has in common with the next one, at least; 0 to 0.9."""
    scale: float = 1.0
    """For `windows`; greater than 0."""

    def __post_init__(self) -> None:
        """Raise a UserError if a value is impossible."""
        if self.fit not in FITS:
            raise UserError(f"framing must be one of {', '.join(FITS)}. Received: {self.fit!r}")
        if not 0.0 <= self.overlap <= 0.9:
            raise UserError(f"overlap must be a share of 0 to 0.9. Received: {self.overlap!r}")
        if not 0.0 < self.scale <= 16.0:
            raise UserError(f"scale must be above 0, and 16 at most. Received: {self.scale!r}")

    @classmethod
    def of(cls, settings: str | Mapping[str, Any], size: tuple[int, int]) -> "Framing":
        """Return what settings say: `fit` alone, or several fields by name."""
        given = {"fit": settings} if isinstance(settings, str) else dict(settings)
        unknown = given.keys() - {"fit", "overlap", "scale"}
        if unknown:
            raise UserError(
                f"framing has no {', '.join(sorted(unknown))}. Known: fit, overlap, scale."
            )
        return cls(size, **given)

    @property
    def facts(self) -> dict[str, Any]:
        """What `evaluation.task.Task` must know to predict; nothing where images are stretched."""
        known = {"fit": self.fit, "overlap": self.overlap, "scale": self.scale}
        return {} if self.fit == "stretch" else {"framing": known}

    def scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width to which a picture of this size is scaled."""
        if self.fit == "stretch":
            return self.size
        ratios = [own / side for own, side in zip(self.size, size, strict=True)]
        factor = {"pad": min(ratios), "crop": max(ratios), "windows": self.scale}[self.fit]
        height, width = (max(round(side * factor), 1) for side in size)
        return height, width

    def windows(self, size: tuple[int, int]) -> list[Window]:
        """Return the windows of a picture of this size, in its scaled form, row by row."""
        rows, columns = (
            _divided(*sides, self.overlap)
            for sides in zip(self.scaled(size), self.size, strict=True)
        )
        return [
            Window(top, left, (first, start, last, end))
            for (top, first, last), (left, start, end) in product(rows, columns)
        ]

    def cut(self, picture: np.ndarray, window: Window, beside: int = 0) -> np.ndarray:
        """Return a window, [*size, ...], of a scaled picture; `beside` is where there is none."""
        height, width = self.size
        part = picture[window.top : window.top + height, window.left : window.left + width]
        if part.shape[:2] == self.size:
            return part
        whole = np.full((height, width, *picture.shape[2:]), beside, picture.dtype)
        whole[: part.shape[0], : part.shape[1]] = part
        return whole

    def framed(self, picture: np.ndarray) -> np.ndarray:
        """Return all windows of a picture, uint8 [h, w, channels]: [windows, *size, channels]."""
        size = picture.shape[:2]
        scaled = resize(picture, self.scaled(size))
        return np.stack([self.cut(scaled, window) for window in self.windows(size)])

    @property
    def is_to_scale(self) -> bool:
        """Whether every picture is seen at its own size."""
        return self.fit == "windows" and self.scale == 1.0

    def joined(self, parts: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
        """Return the mask of a picture of this size, uint8 [h, w], from those of its windows."""
        return resize(self._scaled_whole(parts, size, np.uint8), size)

    def likeliest(self, probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return the likeliest class of each pixel of a picture of this size, uint8 [h, w].

        Where the picture is not seen at its own size, logarithms of probabilities are interpolated,
        which gives smoother and better borders than enlarged classes.

        Args:
            probabilities: float32 [windows, classes, *self.size].
            size: The picture's height and width.
        """
        if self.scaled(size) == size:
            return self.joined(probabilities.argmax(1).astype(np.uint8), size)
        best, classes = np.full(size, -np.inf, np.float32), np.zeros(size, np.uint8)
        for number in range(probabilities.shape[1]):
            logarithms = np.log(np.maximum(probabilities[:, number], np.finfo(np.float32).tiny))
            scaled = Image.fromarray(self._scaled_whole(logarithms, size, np.float32))
            plane = np.asarray(scaled.resize(size[::-1], Image.Resampling.BILINEAR))
            np.copyto(classes, number, where=plane > best)
            np.maximum(best, plane, out=best)
        return classes

    def _scaled_whole(
        self, parts: Iterable[np.ndarray], size: tuple[int, int], dtype: type
    ) -> np.ndarray:
        """Return what belongs to a scaled picture, [h, w], from the cores of its windows."""
        whole: np.ndarray = np.zeros(self.scaled(size), dtype)
        for window, part in zip(self.windows(size), parts, strict=True):
            first, start, last, end = window.core
            inner = part[first - window.top : last - window.top]
            whole[first:last, start:end] = inner[:, start - window.left : end - window.left]
        return whole


def _divided(length: int, side: int, overlap: float) -> list[tuple[int, int, int]]:
    """Return where windows begin on a line, and where the part of each begins and ends."""
    if length <= side:
        return [(0, 0, length)]
    count = math.ceil((length - side) / (side * (1.0 - overlap))) + 1
    starts = [round(number * (length - side) / (count - 1)) for number in range(count)]
    borders = [(before + side + after) // 2 for before, after in pairwise(starts)]
    ends = zip([0, *borders], [*borders, length], strict=True)
    return [(start, *part) for start, part in zip(starts, ends, strict=True)]
