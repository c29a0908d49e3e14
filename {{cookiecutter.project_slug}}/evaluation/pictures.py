"""Draws samples: image, truth, prediction and errors side by side, and a grid of such strips."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.charts import WIDTH, new_figure, shortened
from evaluation.colours import ERROR, INK, MUTED, class_colours, hexadecimal, rgb
from evaluation.samples import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILES = ("image", "truth", "prediction", "errors")
GROUPS = ("best", "worst", "random")

_GAP = 3  # transparent pixels between the tiles of a strip
_MARGIN = 0.2  # inches around and between strips
_CAPTION = 0.3  # inches for a line of text


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
    picture = np.zeros((height, len(TILES) * (width + _GAP) - _GAP, 4), np.uint8)
    tiles = (sample.image, colours[sample.truth], colours[sample.prediction], errors)
    for place, tile in enumerate(tiles):
        left = place * (width + _GAP)
        picture[:, left : left + width, :3] = tile
        picture[:, left : left + width, 3] = 255
    return picture


def sample_grid(
    samples: Sequence[Sample], class_names: Sequence[str], ignore_index: int = 255
) -> "Figure":
    """Draw the strips of all samples in two columns, group by group, with name and score."""
    from matplotlib.patches import Patch

    groups = [[one for one in samples if one.group == group] for group in GROUPS]
    lines = [group[at : at + 2] for group in groups for at in range(0, len(group), 2)]
    column = (WIDTH - 3 * _MARGIN) / 2
    shapes = [one.truth.shape for one in samples] or [(1, 1)]
    row = column / len(TILES) * max(height / width for height, width in shapes) + _CAPTION
    height = len(lines) * row + 2.5 * _CAPTION
    figure = new_figure(WIDTH, height)
    for down, line in enumerate(lines):
        for right, one in enumerate(line):
            x, y = _MARGIN + right * (column + _MARGIN), height - _CAPTION - (down + 1) * row
            box = (x / WIDTH, y / height, column / WIDTH, (row - _CAPTION) / height)
            axes = figure.add_axes(box, anchor="SW")
            axes.axis("off")
            axes.imshow(strip(one, class_names, ignore_index), interpolation="nearest")
            title = f"{one.group}: {shortened(one.name, 40)}, IoU {one.score:.3f}"
            axes.set_title(title, loc="left", fontsize=9.5, color=INK, pad=4)
    top = 1 - 0.55 * _CAPTION / height
    note = f"from left to right: {', '.join(TILES)}"
    figure.text(_MARGIN / WIDTH, top, note, color=MUTED, fontsize=9.5, va="center")
    entries = legend(samples, class_names, ignore_index)
    figure.legend(
        handles=[Patch(facecolor=colour, label=label) for label, colour in entries],
        loc="lower left",
        bbox_to_anchor=(_MARGIN / WIDTH, 0),
        borderpad=0,
        ncols=min(8, len(entries)),
        frameon=False,
        labelcolor=INK,
        fontsize=9.5,
    )
    return figure


def legend(
    samples: Iterable[Sample], class_names: Sequence[str], ignore_index: int = 255
) -> list[tuple[str, str]]:
    """Return (label, #RRGGBB) of all that the strips of some samples show."""
    colours = class_colours(class_names)
    entries = [(name, hexadecimal(colours[index])) for index, name in enumerate(class_names)]
    if any((sample.truth == ignore_index).any() for sample in samples):
        entries.append(("ignored", "#000000"))
    return [*entries, ("wrong", ERROR)]
