"""Draws a run in charts: learning curves, and what the charts of tasks share.

Figures are made without pyplot: no global state, no window system, half the time to import.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Sequence[Mapping[str, Any]]

# Charts are on white paper, whatever the colour of the page around them. Blue and vermilion are of
# the palette of Okabe and Ito, "Color Universal Design" (2008), for colour-blind people.
PAPER, INK, MUTED, LINE = "#FFFFFF", "#1F2328", "#5B646D", "#DCE0E4"
TRAIN, VALIDATION = "#0072B2", "#D55E00"
DPI = 144
_FONT = "DejaVu Sans"  # which Matplotlib brings
_COMPRESSION = 4  # zlib's default of 6 takes twice as long for a few percent


def png(figure: "Figure") -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    _use_fonts(figure)
    with warnings.catch_warnings():
        # Letters that no font has are drawn as boxes; the page around the picture has them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
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


def curves(history: History, metric: str, title: str, best_step: int | None = None) -> "Figure":
    """Draw loss, metric and learning rate over the steps, and mark the step of the best weights.

    The metric has a name, which is that in the history, and a title for people.
    """
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
    style(score, f"{title}, validation")
    steps, values = series(history, "train", "learning_rate")
    if values.size:
        rate.plot(steps, values, color=TRAIN, linewidth=1.8)
        low, high = np.quantile(values, 0.1), values.max()
        if 0 < 100 * low < high:
            rate.set_yscale("log")
        else:
            rate.set_ylim(bottom=0)
            rate.yaxis.set_major_formatter("{x:g}")
    style(rate, "Learning rate")
    return figure


def readable(name: str) -> str:
    """Return a name for people: "learning_rate" is "Learning rate"."""
    text = name.replace("_", " ")
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
    style(axes, "Loss")


def style(axes: "Axes", title: str, x_label: str = "step") -> None:
    """Give a chart its title and the look that all have."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x_label, color=MUTED, fontsize=9)
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


def drawable(names: Sequence[str]) -> list[str]:
    """Return names as charts can show them: one without a font is "#" and its number, from 1."""
    return [
        name if not _lacking(name) or _family_of(_lacking(name)) else f"#{number}"
        for number, name in enumerate(names, start=1)
    ]


def _use_fonts(figure: "Figure") -> None:
    """Give each text of a figure a font of this system that has its letters, if there is one."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        missing = _lacking(text.get_text())
        family = _family_of(missing) if missing else None
        if family is not None:
            text.set_fontfamily([_FONT, family])


def _lacking(text: str) -> frozenset[str]:
    """Return the letters that Matplotlib's own font does not have."""
    if text.isascii():
        return frozenset()
    from matplotlib.font_manager import FontProperties, findfont

    known = _letters(findfont(FontProperties(family=[_FONT])))
    return frozenset(letter for letter in text if ord(letter) not in known and letter.isprintable())


@cache
def _family_of(letters: frozenset[str]) -> str | None:
    """Return a family of fonts on this system that has all the letters; None if there is none."""
    from matplotlib.font_manager import fontManager

    fonts = sorted({(font.name, font.fname) for font in fontManager.ttflist})
    wanted = {ord(letter) for letter in letters}
    return next((name for name, file in fonts if wanted <= _letters(file)), None)


@cache
def _letters(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # moved since Matplotlib listed the fonts, or damaged
        return frozenset()
