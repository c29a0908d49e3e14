"""Draws samples: image, truth, prediction and errors side by side."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from evaluation.colours import ERROR, class_colours, hexadecimal, rgb
from evaluation.samples import Sample

TILES = ("image", "truth", "prediction", "errors")
GAP = 3  # transparent pixels between the tiles of a strip, and between strips


def strip(sample: Sample, class_names: Sequence[str], ignore_index: int = 255) -> np.ndarray:
    """Return image, truth, prediction and errors side by side.

    Wrong pixels are vermilion over the image in grey; ignored ones are black.

    Returns:
        uint8 [H, 4 W + gaps, 4], red, green, blue and opacity (the gaps are transparent).
    """
    colours = class_colours(class_names)
    ignored = sample.truth == ignore_index
    grey = sample.image.mean(axis=2, keepdims=True) * 0.55 + 60
    errors = np.repeat(grey.astype(np.uint8), 3, axis=2)
    errors[(sample.prediction != sample.truth) & ~ignored] = rgb(ERROR)
    errors[ignored] = 0
    height, width = sample.truth.shape
    picture = np.zeros((height, len(TILES) * (width + GAP) - GAP, 4), np.uint8)
    tiles = (sample.image, colours[sample.truth], colours[sample.prediction], errors)
    for tile, left in zip(tiles, range(0, picture.shape[1], width + GAP), strict=True):
        picture[:, left : left + width, :3] = tile
        picture[:, left : left + width, 3] = 255
    return picture


def png(picture: np.ndarray, most: int | None = None) -> bytes:
    """Return a picture as a PNG file, made smaller if a side has more than `most` pixels."""
    image = Image.fromarray(picture)
    if most is not None:
        image.thumbnail((most, most))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def legend(
    samples: Iterable[Sample], class_names: Sequence[str], ignore_index: int = 255
) -> list[tuple[str, str]]:
    """Return (label, #RRGGBB) of all that the strips of some samples show."""
    colours = class_colours(class_names)
    entries = [(name, hexadecimal(colours[index])) for index, name in enumerate(class_names)]
    if any((sample.truth == ignore_index).any() for sample in samples):
        entries.append(("ignored", "#000000"))
    return [*entries, ("wrong", ERROR)]
