"""Draws the confusion matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.charts import DPI, INK, LINE, MUTED, PAPER, TRAIN, drawable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBERED_CLASSES = 15  # percentages are not readable in a larger confusion matrix
_NAMED_CLASSES = 40  # nor names in one larger than this
_WHITE_TEXT = 0.87  # the share from which white stands out more than black (WCAG's contrast)


def confusion_matrix(confusion: np.ndarray, class_names: Sequence[str]) -> "Figure":
    """Draw how each true class (row) was labelled, in percent of the row.

    The matrix is int64 [C truth, C prediction]. A class whose name has letters for which there is
    no font is shown by its number, from 1.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    classes = len(class_names)
    share = np.full(confusion.shape, np.nan)
    totals = confusion.sum(axis=1, keepdims=True)
    np.divide(confusion, totals, out=share, where=totals > 0)
    names = [name if len(name) <= 16 else name[:15] + "…" for name in drawable(class_names)]
    text_width = 0.075 * max(len(name) for name in names)  # inches, at 9 points
    side = 0.9 * classes if classes <= 4 else min(7.5, max(3.4, 0.5 * classes))
    upright = text_width < 0.9 * side / classes
    left, bottom = text_width + 0.4, 0.5 if upright else text_width + 0.4
    width, height = left + side + 0.1, bottom + side + 0.1
    figure = Figure((width, height), dpi=DPI, facecolor=PAPER)
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    colours = LinearSegmentedColormap.from_list("shares", [PAPER, TRAIN])
    axes.imshow(share, cmap=colours, vmin=0, vmax=1)
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=LINE, linewidth=1)
    axes.tick_params(which="both", length=0, colors=INK, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted", color=MUTED)
    axes.set_ylabel("true", color=MUTED)
    if classes <= _NAMED_CLASSES:
        axes.set_xticks(range(classes), names, rotation=0 if upright else 90, parse_math=False)
        axes.set_yticks(range(classes), names, parse_math=False)
    if classes <= _NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(share):
            text = "-" if np.isnan(value) else f"{100 * value:.1f}"
            colour = PAPER if value > _WHITE_TEXT else INK
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)
    return figure
