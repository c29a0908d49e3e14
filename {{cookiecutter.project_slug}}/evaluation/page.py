"""Small pieces of HTML that the report is put together from."""

import base64
import math
import struct
from html import escape

from evaluation.charts import DPI

_PIXELS_PER_INCH = 100  # the page's, in CSS pixels


def text(value: object) -> str:
    """Return a fact as people write it: 484,035, or - where there is none."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return " ".join(str(part) for part in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def number(value: float | None) -> str:
    """Return a score with three decimals; a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def percent(value: float) -> str:
    """Return a share of 0 to 1 in percent; a dash where there is none."""
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def bar(share: float) -> str:
    """Return a bar that is filled to a share of 0 to 1; nothing where there is none."""
    filled = f'<span class="bar" style="--share:{100 * share:.1f}%"></span>'
    return "" if math.isnan(share) else filled


def swatch(colour: str) -> str:
    """Return a small square of a colour."""
    return f'<span class="swatch" style="background:{colour}"></span>'


def inline(png: bytes) -> str:
    """Return a PNG file as a URL that holds the whole file."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def chart(png: bytes, alt: str) -> str:
    """Return a chart as an image of its own size."""
    width, height = (size * _PIXELS_PER_INCH // DPI for size in struct.unpack(">II", png[16:24]))
    image = f'<img src="{inline(png)}" alt="{escape(alt)}" width="{width}" height="{height}">'
    return f'<figure class="chart">{image}</figure>'
