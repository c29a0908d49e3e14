"""Finds fonts for names in letters that Matplotlib's own font does not have, such as Chinese."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OWN = "DejaVu Sans"


def drawable(names: Sequence[str]) -> list[str]:
    """Return names as charts can show them: one without a font is "#" and its number, from 1."""
    return [
        name if not lacking(name) or family_of(lacking(name)) else f"#{number}"
        for number, name in enumerate(names, start=1)
    ]


def use_fonts(figure: "Figure") -> None:
    """Give each text of a figure a font of this system that has its letters, if there is one."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        missing = lacking(text.get_text())
        family = family_of(missing) if missing else None
        if family is not None:
            text.set_fontfamily([_OWN, family])


def lacking(text: str) -> frozenset[str]:
    """Return the letters that Matplotlib's own font does not have."""
    if text.isascii():
        return frozenset()
    from matplotlib.font_manager import FontProperties, findfont

    known = _letters(findfont(FontProperties(family=[_OWN])))
    return frozenset(letter for letter in text if ord(letter) not in known and letter.isprintable())


@cache
def family_of(letters: frozenset[str]) -> str | None:
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
