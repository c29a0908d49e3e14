"""The report's parts: what they show, and that they are safe against names of files and classes."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation import class_charts, sections
from evaluation.counts import BINS, Counts
from evaluation.report import Report, write_report
from evaluation.samples import Group, Sample

NAMES = ("cat", "dog", '<b>"&')


def counts() -> Counts:
    samples, hits, confidence = np.zeros(BINS, int), np.zeros(BINS, int), np.zeros(BINS)
    samples[[4, 14]], hits[[4, 14]], confidence[[4, 14]] = (10, 30), (4, 30), (3.0, 29.4)
    confusion = np.array([[20, 2, 0], [4, 14, 0], [0, 0, 0]])
    return Counts(confusion, np.array([34, 5, 1]), samples, hits, confidence)


def sample(group: Group, name: str, truth: int, shares: list[float]) -> Sample:
    probabilities = np.array(shares, np.float32)
    image = np.full((8, 8, 1), 50 * truth, np.uint8)
    return Sample(
        name,
        group,
        shares[truth],
        {"image": image, "label": np.array(truth)},
        {"label": np.array(probabilities.argmax()), "probabilities": probabilities},
    )


SAMPLES = [
    sample("best", "plain", 0, [0.99, 0.01, 0.0]),
    sample("worst", "<script>alert(1)</script>", 2, [0.6, 0.3, 0.1]),
    sample("random", '" onload="alert(1)', 1, [0.2, 0.8, 0.0]),
]


class Page(HTMLParser):
    """Takes note of tags, handlers and what the pictures are said to show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.handlers += [key for key in values if key.startswith("on")]
        if tag == "img":
            self.texts.append(values["alt"] or "")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shown = [sections.classes(counts(), NAMES), sections.samples(SAMPLES, NAMES)]
    report = Report("a run", [], {"accuracy": 0.85, "loss": 0.5}, shown, "", {})
    return write_report(tmp_path_factory.mktemp("report"), report)


def test_classes_calibration_and_samples_are_shown(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") == 5  # confusion, calibration and three samples
    assert all(page.texts)
    assert "expected error 0.040" in text  # (|4 - 3| + |30 - 29.4|) / 40
    for expected in ("plain, truly cat", "99.0 %", "60.0 %"):
        assert expected in text
    for name in ("confusion.png", "calibration.png", "samples.png"):
        with Image.open(written.with_name(name)) as picture:
            assert picture.width >= 300


def test_names_are_escaped(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    assert not {"b", "script"} & set(page.tags)
    assert page.handlers == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;&quot;&amp;" in text


def test_the_facts_are_those_of_the_counts() -> None:
    facts = sections.classes(counts(), NAMES).facts
    assert facts["class_names"] == list(NAMES)
    assert facts["confusion"] == counts().confusion.tolist()
    assert facts["calibration"]["error"] == pytest.approx(1.6 / 40)
    assert facts["calibration"]["right"][14] == 30
    entries = sections.samples(SAMPLES, NAMES).facts["samples"]
    assert [entry["group"] for entry in entries] == ["best", "worst", "random"]
    assert sections.samples([], NAMES).html == ""


def test_the_reliability_curve_goes_through_the_points_worked_out_by_hand() -> None:
    figure = class_charts.reliability(counts())
    curve, histogram = figure.axes
    diagonal, line = (np.asarray(line.get_xydata(), float) for line in curve.get_lines())
    assert diagonal.tolist() == [[0, 0], [1, 1]]
    np.testing.assert_allclose(line, np.array([[0.3, 0.4], [0.98, 1.0]]))
    (bars,) = histogram.containers
    assert [bar.get_height() for bar in bars] == counts().samples.tolist()


def test_nothing_is_said_to_be_certain() -> None:
    assert class_charts.percent(1.0) == class_charts.percent(0.9996) == "> 99.9 %"
    assert class_charts.percent(0.123) == "12.3 %"
