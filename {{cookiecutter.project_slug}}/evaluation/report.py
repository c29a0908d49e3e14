"""Writes what a run has learned as one page that anyone can open: report.html, and its pictures.

The page holds everything inside itself and needs neither a network nor a script. Its look is in
`report.css`, its pictures in `charts.py` and `pictures.py`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import charts, page, pictures
from evaluation.colours import class_colours, hexadecimal
from evaluation.confusion import class_scores, mean_over_classes
from evaluation.samples import Sample

_STYLE = Path(__file__).with_name("report.css")
_STRIP_PIXELS = 1100  # widest strip in the page: two pixels for each that a page 1200 wide shows
_HEADLINES = 5
_SIDE_BY_SIDE = 6  # with more classes the confusion matrix needs the whole width
_INTRODUCTIONS = {
    "best": "The highest mean IoU of a single image.",
    "worst": "The lowest: what to look at first.",
    "random": "Chosen by the seed, neither best nor worst.",
}


@dataclass(frozen=True, eq=False)
class Report:
    """All that the page shows."""

    title: str
    history: Sequence[Mapping[str, Any]]
    """The rows of `metrics.jsonl` (see `charts.series`); may be empty."""
    metrics: Mapping[str, float]
    """The final values of the best weights, by name."""
    class_names: Sequence[str]
    confusion: np.ndarray
    """int64 [C truth, C prediction], pixels."""
    samples: Sequence[Sample]
    """What a `SamplePicker` has kept."""
    configuration: str
    """As YAML, resolved."""
    environment: Mapping[str, Any]
    """Facts such as device, precision, parameters and versions; may be nested."""
    best_step: int | None = None
    monitor: str = "mean_iou"
    """The metric that decides which weights are best."""
    ignore_index: int = 255


def write_report(directory: Path, report: Report) -> Path:
    """Write report.html with its pictures, and report.json with what they show.

    The pictures are curves.png (where there is a history), confusion.png and samples.png (where
    there are samples: a strip for each, in the order of report.json).

    Returns:
        The path of report.html.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sections = [_head(report), _numbers(report)]
    if report.history:
        sections.append(_curves(directory, report))
    sections.append(_classes(directory, report))
    if report.samples:
        sections.append(_samples(directory, report))
    sections += [_settings(report), "</main>\n</body>\n</html>\n"]
    facts = {
        "class_names": list(report.class_names),
        "confusion": report.confusion.tolist(),
        "samples": [{"name": s.name, "group": s.group, "score": s.score} for s in report.samples],
    }
    (directory / "report.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    path = directory / "report.html"
    path.write_text("\n".join(sections), encoding="utf-8")
    return path


def _head(report: Report) -> str:
    title = escape(report.title)
    facts = [] if report.best_step is None else [f"best weights from step {report.best_step:,}"]
    if facts and report.history:
        facts[0] += f" of {max(int(row.get('step', 0)) for row in report.history):,}"
    for key in ("parameters", "device", "precision"):
        if key in report.environment:
            label = f" {key}" if key == "parameters" else ""
            facts.append(escape(page.text(report.environment[key])) + label)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="quiet">{" · ".join(facts)}</p>"""


def _numbers(report: Report) -> str:
    shown = [name for name in report.metrics if not name.startswith("iou_")]
    shown.sort(key=lambda name: name != report.monitor)
    cells = "\n".join(
        f"<div><dt>{escape(charts.readable(name))}</dt><dd>{page.number(report.metrics[name])}</dd></div>"
        for name in shown[:_HEADLINES]
    )
    return f'<dl class="numbers">\n{cells}\n</dl>'


def _curves(directory: Path, report: Report) -> str:
    png = charts.png(charts.curves(report.history, report.monitor, report.best_step))
    (directory / "curves.png").write_bytes(png)
    alt = f"Loss, {charts.readable(report.monitor)} and learning rate over the training steps"
    return f"<h2>Learning curves</h2>\n{page.chart(png, alt)}"


def _classes(directory: Path, report: Report) -> str:
    png = charts.png(charts.confusion_matrix(report.confusion, report.class_names))
    (directory / "confusion.png").write_bytes(png)
    scores = class_scores(report.confusion)
    columns = scores[:4]
    colours = class_colours(report.class_names)
    rows = []
    for index, name in enumerate(report.class_names):
        cells = "".join(f"<td>{page.number(column[index])}</td>" for column in columns[1:])
        rows.append(
            f'<tr><th scope="row">{page.swatch(hexadecimal(colours[index]))}{escape(name)}</th>'
            f"<td>{page.bar(scores.iou[index])}{page.number(scores.iou[index])}</td>{cells}"
            f"<td>{page.percent(scores.share[index])}</td></tr>"
        )
    means = "".join(f"<td>{page.number(mean_over_classes(column))}</td>" for column in columns)
    names = ("class", "IoU", "Dice", "precision", "recall", "pixels")
    header = "".join(f'<th scope="col">{name}</th>' for name in names)
    alt = "Confusion matrix: how the pixels of each true class (row) were labelled, in percent"
    wide = " wide" if len(report.class_names) > _SIDE_BY_SIDE else ""
    return f"""<div class="columns{wide}">
<section>
<h2>Classes</h2>
<div class="scroll"><table class="scores">
<thead><tr>{header}</tr></thead>
<tbody>
{chr(10).join(rows)}
</tbody>
<tfoot><tr><th scope="row">mean</th>{means}<td></td></tr></tfoot>
</table></div>
</section>
<section>
<h2>Confusion <span class="quiet">in % of the true class</span></h2>
{page.chart(png, alt)}
</section>
</div>"""


def _samples(directory: Path, report: Report) -> str:
    names, ignore = report.class_names, report.ignore_index
    strips = [pictures.strip(sample, names, ignore) for sample in report.samples]
    rows = np.concatenate([np.pad(strip, ((0, pictures.GAP), (0, 0), (0, 0))) for strip in strips])
    enlarged = rows.repeat(scale := max(1, _STRIP_PIXELS // rows.shape[1]), 0).repeat(scale, 1)
    (directory / "samples.png").write_bytes(pictures.png(enlarged))
    entries = "\n".join(
        f"<li>{page.swatch(colour)}{escape(label)}</li>"
        for label, colour in pictures.legend(report.samples, names, ignore)
    )
    tiles = "".join(f"<span>{tile}</span>" for tile in pictures.TILES)
    lines = [f'<h2>Samples</h2>\n<ul class="legend">\n{entries}\n</ul>']
    for group, introduction in _INTRODUCTIONS.items():
        pairs = zip(report.samples, strips, strict=True)
        figures = [_sample(sample, strip) for sample, strip in pairs if sample.group == group]
        if not figures:
            continue
        heads = [tiles, tiles if len(figures) > 1 else ""]
        lines += [
            f'<h3>{charts.readable(group)} <span class="quiet">{introduction}</span></h3>',
            '<div class="strips">',
            *(f'<div class="tiles" aria-hidden="true">{head}</div>' for head in heads),
            *figures,
            "</div>",
        ]
    return "\n".join(lines)


def _sample(sample: Sample, strip: np.ndarray) -> str:
    name, score = escape(sample.name), page.number(sample.score)
    alt = f"{name}: image, true mask, predicted mask and wrong pixels; mean IoU {score}"
    small = ' class="small"' if strip.shape[1] < _STRIP_PIXELS / 2 else ""
    source = page.inline(pictures.png(strip, _STRIP_PIXELS))
    caption = f'<span>{name}</span><span class="quiet">IoU {score}</span>'
    image = f'<img src="{source}" alt="{alt}"{small}>'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _settings(report: Report) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(page.text(value))}</td></tr>'
        for key, value in page.flat(report.environment)
    )
    return f"""<details>
<summary>Configuration</summary>
<pre>{escape(report.configuration)}</pre>
</details>
<details>
<summary>Environment</summary>
<table><tbody>
{rows}
</tbody></table>
</details>"""
