"""Names in any letters can be read in charts, or are numbered."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font

from evaluation import fonts
from evaluation.fonts import drawable, family_of, lacking, use_fonts


def letters(family: str) -> set[int]:
    """Return what a family that comes with Matplotlib can draw."""
    files = [f.fname for f in fontManager.ttflist if f.name == family and "mpl-data" in f.fname]
    return {code for file in files for code in FT2Font(file).get_charmap()}


@pytest.fixture(scope="module")
def foreign() -> str:
    """Return a letter that another font has, and Matplotlib's usual one has not."""
    return chr(max(letters("STIXGeneral") - letters("DejaVu Sans")))


@pytest.fixture
def no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "family_of", lambda letters: None)


def test_a_font_of_the_system_is_found(foreign: str) -> None:
    assert lacking("cat") == lacking("Käfer") == frozenset()
    assert lacking(f"a{foreign}") == {foreign}
    family = family_of(lacking(foreign))
    assert family is not None
    assert any(f.name == family and Path(f.fname).exists() for f in fontManager.ttflist)
    assert drawable(["cat", foreign]) == ["cat", foreign]
    figure = Figure()
    text, plain = figure.text(0, 0, foreign), figure.text(0, 1, "cat")
    use_fonts(figure)
    assert text.get_fontfamily() == ["DejaVu Sans", family]
    assert plain.get_fontfamily() != text.get_fontfamily()


@pytest.mark.usefixtures("no_font")
def test_without_a_font_classes_are_numbered(foreign: str) -> None:
    assert drawable(["cat", foreign, f"b{foreign}"]) == ["cat", "#2", "#3"]
    figure = Figure()
    text = figure.text(0, 0, foreign)
    before = text.get_fontfamily()
    use_fonts(figure)
    assert text.get_fontfamily() == before
