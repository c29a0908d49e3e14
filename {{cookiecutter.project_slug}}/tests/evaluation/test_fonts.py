"""Names in any letters can be read in charts, or are numbered."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font

from evaluation import charts
from evaluation.charts import _family_of, _lacking, _use_fonts, drawable


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
    monkeypatch.setattr(charts, "_family_of", lambda letters: None)


def test_a_font_of_the_system_is_found(foreign: str) -> None:
    assert _lacking("cat") == _lacking("Käfer") == frozenset()
    assert _lacking(f"a{foreign}") == {foreign}
    family = _family_of(_lacking(foreign))
    assert family is not None
    assert any(f.name == family and Path(f.fname).exists() for f in fontManager.ttflist)
    assert drawable(["cat", foreign]) == ["cat", foreign]
    figure = Figure()
    text, plain = figure.text(0, 0, foreign), figure.text(0, 1, "cat")
    _use_fonts(figure)
    assert text.get_fontfamily() == ["DejaVu Sans", family]
    assert plain.get_fontfamily() != text.get_fontfamily()


@pytest.mark.usefixtures("no_font")
def test_without_a_font_classes_are_numbered(foreign: str) -> None:
    assert drawable(["cat", foreign, f"b{foreign}"]) == ["cat", "#2", "#3"]
    figure = Figure()
    text = figure.text(0, 0, foreign)
    before = text.get_fontfamily()
    _use_fonts(figure)
    assert text.get_fontfamily() == before
