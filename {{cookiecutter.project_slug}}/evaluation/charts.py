"""Draws a run in charts: learning curves and the confusion matrix.

Figures are made without pyplot: no global state, no window system, half the time to import.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.colours import INK, LINE, MUTED, PAPER, TRAIN, VALIDATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Sequence[Mapping[str, Any]]

DPI = 144
_COMPRESSION = 4  # zlib's default of 6 takes twice as long for a few percent
_NUMBERED_CLASSES = 15  # percentages are not readable in a larger confusion matrix
_NAMED_CLASSES = 40  # nor names in one larger than this
_WHITE_TEXT = 0.87  # the share from which white stands out more than black (WCAG's contrast)


def png(figure: "Figure") -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", pil_kwargs={"compress_level": _COMPRESSION})
    return buffer.getvalue()


def series(history: History, split: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (steps, values), float64 [N] each, of one value of a run's history.

    The history is the rows of `metrics.jsonl`; one without "split" is a training row. Rows without
    the value, or where it is no finite number, are left out; of two rows for the same step (a run
    that was resumed) the later one counts.
    """
    found = {
        float(row["step"]): float(row[key])
        for row in history
        if row.get("split", "train") == split
        and isinstance(row.get(key), int | float)
        and np.isfinite(row[key])
    }
    steps = sorted(found)
    return np.array(steps, float), np.array([found[step] for step in steps], float)


def curves(history: History, metric: str, best_step: int | None = None) -> "Figure":
    """Draw loss, metric and learning rate over the steps, and mark the step of the best weights."""
    from matplotlib.figure import Figure

    figure = Figure((11.0, 3.1), dpi=DPI, facecolor=PAPER)
    loss, score, rate = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.04, right=0.98, top=0.9, bottom=0.15, wspace=0.22)
    _loss(loss, history)
    steps, values = series(history, "validation", metric)
    if values.size:
        score.plot(steps, values, color=VALIDATION, linewidth=1.8, marker="o", markersize=3)
    for step, value in zip(steps, values, strict=True):
        if step == best_step:
            score.axvline(step, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
            score.plot(step, value, "o", color=VALIDATION, markersize=7)
            below = ((step, 0.0), (-3, 5), ("data", "axes fraction"), "offset points")
            score.annotate(f"best {value:.3f} ", *below, ha="right", color=INK, fontsize=9.5)
    _style(score, f"{readable(metric)}, validation")
    steps, values = series(history, "train", "learning_rate")
    if values.size:
        rate.plot(steps, values, color=TRAIN, linewidth=1.8)
        low, high = np.quantile(values, 0.1), values.max()
        if 0 < 100 * low < high:
            rate.set_yscale("log")
        else:
            rate.set_ylim(bottom=0)
            rate.yaxis.set_major_formatter("{x:g}")
    _style(rate, "Learning rate")
    return figure


def confusion_matrix(confusion: np.ndarray, class_names: Sequence[str]) -> "Figure":
    """Draw how the pixels of each true class (row) were labelled, in percent of the row.

    The matrix is int64 [C truth, C prediction].
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    classes = len(class_names)
    share = np.full(confusion.shape, np.nan)
    totals = confusion.sum(axis=1, keepdims=True)
    np.divide(confusion, totals, out=share, where=totals > 0)
    names = [name if len(name) <= 16 else name[:15] + "…" for name in class_names]
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
        axes.set_xticks(range(classes), names, rotation=0 if upright else 90)
        axes.set_yticks(range(classes), names)
    if classes <= _NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(share):
            text = "-" if np.isnan(value) else f"{100 * value:.1f}"
            colour = PAPER if value > _WHITE_TEXT else INK
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)
    return figure


def readable(name: str) -> str:
    """Return a metric's name for a person: "mean_iou" is "Mean IoU"."""
    text = name.replace("_", " ").replace("iou", "IoU")
    return text[:1].upper() + text[1:]


def _loss(axes: "Axes", history: History) -> None:
    steps, values = series(history, "train", "loss")
    if values.size:
        axes.plot(steps, values, color=TRAIN, linewidth=0.8, alpha=0.3)
        smooth = _smooth(values)
        axes.plot(steps, smooth, color=TRAIN, linewidth=1.8, label="training, smoothed")
    checked_steps, checked = series(history, "validation", "loss")
    if checked.size:
        (line,) = axes.plot(checked_steps, checked, color=VALIDATION, linewidth=1.8)
        line.set(marker="o", markersize=3, label="validation")
    both = np.concatenate([values, checked])
    if both.size:
        if both.min() > 0 and both.max() > 20 * both.min():
            axes.set_yscale("log")
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper right")
    _style(axes, "Loss")


def _style(axes: "Axes", title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("step", color=MUTED, fontsize=9)
    axes.set_facecolor(PAPER)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(which="both", length=0, colors=MUTED, labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if not axes.has_data():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no values yet", color=MUTED, ha="center", transform=axes.transAxes)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return the mean over a window centred on each point, so that the curve does not lag."""
    if len(values) < 8:
        return values
    window = np.hanning(len(values) // 8 + 4)[1:-1]
    weights = np.convolve(np.ones_like(values), window, "same")
    return np.asarray(np.convolve(values, window, "same") / weights)
