"""The report: complete, self-contained, and safe against the names of files and classes."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation import charts, page, sections
from evaluation.colours import ERROR, class_colours, rgb
from evaluation.confusion_chart import confusion_matrix
from evaluation.report import Report, write_report
from evaluation.samples import Group, Sample

NAMES = ("object", "background", "<b>border</b>")


def sample(group: Group, name: str) -> Sample:
    random = np.random.default_rng(0)
    truth = random.choice(np.array([0, 1, 2, 255], np.uint8), (12, 16))
    prediction = random.integers(0, 3, truth.shape, np.uint8)
    image = random.integers(0, 256, (*truth.shape, 3), np.uint8)
    return Sample(name, group, 0.5, {"image": image, "mask": truth}, {"mask": prediction})


CONFUSION = np.array([[5, 1, 0], [0, 9, 1], [0, 0, 0]])
SAMPLES = [
    sample("best", "plain"),
    sample("worst", "<script>alert(1)</script>"),
    sample("random", '" onload="alert(1)'),
]


@pytest.fixture(scope="module")
def report() -> Report:
    history: list[dict[str, Any]] = [
        {"step": step, "epoch": 0.5, "split": "train", "loss": 1 / step, "learning_rate": 1e-3}
        for step in range(1, 30)
    ]
    for step in (10, 20):
        values = {"loss": 1.1 / step, "mean_iou": 0.03 * step}
        history.append({"step": step, "epoch": 1, "split": "validation", **values})
    return Report(
        title='run "one" & <two>',
        history=history,
        metrics={"accuracy": 0.9, "mean_iou": 0.6, "iou_object": 0.5, "loss": float("nan")},
        sections=[sections.classes(CONFUSION, NAMES), sections.samples(SAMPLES, NAMES, 255)],
        configuration="model:\n  target: model.unet:UNet # </pre><i>\n",
        environment={"device": "cpu", "parameters": 484035, "packages": {"numpy": "<2>"}},
        best_step=20,
        monitor="mean_iou",
        details=frozenset({"iou_object"}),
    )


@pytest.fixture(scope="module")
def written(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("runs") / "new", report)


class Page(HTMLParser):
    """Takes note of tags and of whatever a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.images_without_text = 0
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.addresses += [values[key] or "" for key in ("src", "srcset", "href") if key in values]
        self.images_without_text += tag == "img" and not values.get("alt")
        self.handlers += [key for key in values if key.startswith("on")]


def test_page_is_complete_and_self_contained(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.tags.count("img") == 5  # curves, confusion and three samples
    assert all(address.startswith("data:image/png;base64,") for address in parsed.addresses)
    assert parsed.images_without_text == 0
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert not re.search(r"https?://|@import|url\(", text)
    for expected in ("0.600", "484,035 parameters", "step 20 of 29", "packages.numpy"):
        assert expected in text


def test_names_are_escaped(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    parsed = Page(text)
    assert not {"b", "i", "two", "script"} & set(parsed.tags)
    assert parsed.handlers == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;border&lt;/b&gt;" in text


def test_pictures_and_facts_are_written(written: Path) -> None:
    for name in ("curves.png", "confusion.png"):
        with Image.open(written.with_name(name)) as picture:
            assert picture.width >= 300
    with Image.open(written.with_name("samples.png")) as picture:
        assert picture.size == (15 * (4 * (16 + 3) - 3), 15 * 3 * (12 + 3))  # 15 times as large
    facts = json.loads(written.with_name("report.json").read_text(encoding="utf-8"))
    assert facts["confusion"] == CONFUSION.tolist()
    assert [entry["group"] for entry in facts["samples"]] == ["best", "worst", "random"]


def test_report_without_history_and_samples(report: Report, tmp_path: Path) -> None:
    shown = [sections.classes(CONFUSION, NAMES), sections.samples([], NAMES, 255)]
    bare = dataclasses.replace(report, history=[], sections=shown, metrics={}, best_step=None)
    parsed = Page(write_report(tmp_path, bare).read_text(encoding="utf-8"))
    assert parsed.tags.count("img") == 1
    assert not (tmp_path / "curves.png").exists()


def test_curves_of_few_rows_and_large_confusions_can_be_drawn() -> None:
    assert charts.png(charts.curves([{"step": 1, "loss": 2.0}], "mean_iou", "Mean IoU"))
    names = [f"a class with a long name {index}" for index in range(50)]
    assert charts.png(confusion_matrix(np.eye(50, dtype=np.int64), names))
    odd = ["漢", "$x^", "two $ signs $"]  # no letter of the font, and no formulas
    assert charts.png(confusion_matrix(np.eye(3, dtype=np.int64), odd))


def test_series_takes_the_later_row_and_skips_what_is_no_number() -> None:
    rows: list[dict[str, Any]] = [
        {"step": 2, "loss": 5.0},
        {"step": 1, "loss": 4.0},
        {"step": 2, "loss": 3.0},
        {"step": 3, "loss": float("nan")},
        {"step": 4, "loss": None},
        {"step": 4, "split": "validation", "loss": 9.0},
    ]
    steps, values = charts.series(rows, "train", "loss")
    assert steps.tolist() == [1, 2]
    assert values.tolist() == [4, 3]


def test_strip_shows_wrong_pixels_and_hides_ignored_ones() -> None:
    one = sample("best", "any")
    strip = sections.strip_of(one, NAMES)
    truth, prediction = one.fields["mask"], one.prediction["mask"]
    height, width = truth.shape
    errors = strip[:, -width:, :3]
    ignored = truth == 255
    wrong = (truth != prediction) & ~ignored
    assert strip.shape[0] == height
    assert (errors[wrong] == rgb(ERROR)).all()
    assert not errors[ignored].any()
    assert (strip[:, :width, :3] == one.fields["image"]).all()


def test_class_colours_differ() -> None:
    colours = class_colours([f"class {index}" for index in range(100)])
    assert len(np.unique(colours[:100], axis=0)) == 100
    from_error = np.linalg.norm(colours[:100].astype(int) - rgb(ERROR), axis=1)
    assert from_error.min() > 60
    assert not colours[100:].any()


def test_numbers_are_written_for_people() -> None:
    assert page.number(0.12345) == "0.123"
    assert page.number(None) == page.number(float("nan")) == "-"
    assert page.percent(0.5) == "50.0 %"
    assert page.text(["main.py", "train"]) == "main.py train"
