"""Writes what a run has learned as one page that anyone can open: report.html, and its pictures.

The page holds everything inside itself and needs neither a network nor a script. Its look is in
`report.css`, its charts in `charts.py`, and what belongs to the task comes from its evaluators.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from evaluation import charts, page
from evaluation.evaluator import Section
from utils.nested import flat

_STYLE = Path(__file__).with_name("report.css")
_HEADLINES = 5


@dataclass(frozen=True, eq=False)
class Report:
    """All that the page shows."""

    title: str
    history: Sequence[Mapping[str, Any]]
    """The rows of `metrics.jsonl` (see `charts.series`); may be empty."""
    metrics: Mapping[str, float]
    """The final values of the best weights, by name."""
    sections: Sequence[Section]
    """What evaluators and collectors show."""
    configuration: str
    """As YAML, resolved."""
    environment: Mapping[str, Any]
    """Facts such as device, precision, parameters and versions; may be nested."""
    best_step: int | None = None
    monitor: str = "loss"
    """The metric that decides which weights are best."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """The names of metrics for people, where the plain ones do not do."""
    details: frozenset[str] = frozenset()
    """Names of metrics that are not among the headlines."""

    def title_of(self, metric: str) -> str:
        """Return the name of a metric for people."""
        return self.titles.get(metric, charts.readable(metric))


def write_report(directory: Path, report: Report) -> Path:
    """Write report.html with its pictures, and report.json with what they show.

    The pictures are curves.png (where there is a history) and those of the sections.

    Returns:
        The path of report.html.
    """
    directory.mkdir(parents=True, exist_ok=True)
    parts = [_head(report), _numbers(report)]
    if report.history:
        parts.append(_curves(directory, report))
    facts: dict[str, Any] = {}
    for section in report.sections:
        parts.append(section.html)
        facts.update(section.facts)
        for name, png in section.pictures.items():
            (directory / name).write_bytes(png)
    parts += [_settings(report), "</main>\n</body>\n</html>\n"]
    (directory / "report.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    path = directory / "report.html"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _head(report: Report) -> str:
    title = escape(report.title)
    styles = (_STYLE.read_text(encoding="utf-8"), *(one.style for one in report.sections))
    style = "\n".join(filter(None, dict.fromkeys(styles)))
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
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="quiet">{" · ".join(facts)}</p>"""


def _headlines(report: Report) -> list[str]:
    shown = [name for name in report.metrics if name not in report.details]
    return sorted(shown, key=lambda name: name != report.monitor)


def _numbers(report: Report) -> str:
    cells = "\n".join(
        f"<div><dt>{escape(report.title_of(name))}</dt><dd>{page.number(report.metrics[name])}</dd></div>"
        for name in _headlines(report)[:_HEADLINES]
    )
    return f'<dl class="numbers">\n{cells}\n</dl>'


def _curves(directory: Path, report: Report) -> str:
    # The loss is drawn in any case.
    metric = next((name for name in _headlines(report) if name != "loss"), report.monitor)
    title = report.title_of(metric)
    png = charts.png(charts.curves(report.history, metric, title, report.best_step))
    (directory / "curves.png").write_bytes(png)
    alt = f"Loss, {title} and learning rate over the training steps"
    return f"<h2>Learning curves</h2>\n{page.chart(png, alt)}"


def _settings(report: Report) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(page.text(value))}</td></tr>'
        for key, value in flat(report.environment)
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
