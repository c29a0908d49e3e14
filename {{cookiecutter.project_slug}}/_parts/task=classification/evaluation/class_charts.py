"""Draws the reliability curve, and images with what was predicted for them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.charts import DPI, LINE, PAPER, TRAIN, style
from evaluation.counts import BINS, Counts
from ops.images.arrays import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 8
_TILE = 1.35  # inches


def reliability(counts: Counts) -> "Figure":
    """Draw the accuracy of predictions by their confidence, and how many there are of each.

    Where the model is as often right as it says, the points lie on the diagonal.
    """
    from matplotlib.figure import Figure

    figure = Figure((7.4, 3.1), dpi=DPI, facecolor=PAPER)
    curve, histogram = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.98, top=0.9, bottom=0.15, wspace=0.25)
    found = counts.samples > 0
    mean = counts.confidence[found] / counts.samples[found]
    curve.plot([0, 1], [0, 1], color=LINE, linewidth=1.2)
    curve.plot(
        mean,
        counts.hits[found] / counts.samples[found],
        color=TRAIN,
        linewidth=1.8,
        marker="o",
        markersize=4,
    )
    middles = (np.arange(BINS) + 0.5) / BINS
    histogram.bar(middles, counts.samples, width=0.9 / BINS, color=TRAIN)
    for axes, title in ((curve, "Accuracy by confidence"), (histogram, "Samples by confidence")):
        style(axes, title, "confidence")
        axes.set_xlim(0, 1.02)
        axes.set_xticks(np.linspace(0, 1, 6))
    curve.set_ylim(0, 1.04)
    return figure


def overview(images: Sequence[np.ndarray], titles: Sequence[Sequence[tuple[str, str]]]) -> "Figure":
    """Draw images, uint8 [h, w, channels] of any size, in rows.

    Below each stand its titles, (text, colour as #RRGGBB), one a line.
    """
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    lines = max(len(lines) for lines in titles)
    height = _TILE + 0.17 * lines + 0.1
    figure = Figure((columns * (_TILE + 0.1), rows * height), dpi=DPI, facecolor=PAPER)
    for number, (image, texts) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(number, columns)
        left, top = (column + 0.03) / columns, 1 - (row + 0.02) / rows
        size = (0.94 / columns, _TILE * 0.94 / height / rows)
        axes = figure.add_axes((left, top - size[1], *size))
        axes.imshow(visible(image), interpolation="nearest" if max(image.shape) < 100 else None)
        axes.set_axis_off()
        axes.set_anchor("NW")  # above its titles, whatever its shape
        for line, (text, colour) in enumerate(texts, start=1):
            below = top - size[1] - (0.17 * line - 0.04) / height / rows
            short = text if len(text) <= 18 else text[:17] + "…"
            figure.text(left, below, short, color=colour, fontsize=7.5, parse_math=False)
    return figure


def percent(share: float) -> str:
    """Return a probability of 0 to 1 in percent, without saying that anything is certain."""
    return f"{100 * share:.1f} %" if share < 0.9995 else "> 99.9 %"
