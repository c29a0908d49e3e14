"""The parts of the report that belong to classification: classes, calibration and samples."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from evaluation import charts, page
from evaluation.class_charts import overview, percent, reliability
from evaluation.colours import ERROR, class_colours, hexadecimal
from evaluation.confusion_chart import confusion_matrix
from evaluation.counts import Counts, calibration_error, class_scores, mean_over_classes
from evaluation.evaluator import Section
from evaluation.samples import Sample
from ops.images.arrays import png_of, visible

_STYLE = Path(__file__).with_name("sections.css")
_LARGEST = 320  # pixels of an image in the page
_LIKELIEST = 3  # classes that are named for each sample
_SIDE_BY_SIDE = 6  # with more classes the confusion matrix needs the whole width
_INTRODUCTIONS = {
    "best": "The highest probability of the true class.",
    "worst": "The lowest: what to look at first.",
    "random": "Chosen by the seed, neither best nor worst.",
}


def classes(counts: Counts, class_names: Sequence[str]) -> Section:
    """Return the scores of each class, the confusion matrix and the calibration."""
    matrix = charts.png(confusion_matrix(counts.confusion, class_names))
    curve = charts.png(reliability(counts))
    scores = class_scores(counts.confusion)
    colours = class_colours(class_names)
    rows = []
    labels = charts.drawable(class_names)
    for index, (name, label) in enumerate(zip(class_names, labels, strict=True)):
        shown = escape(name if label == name else f"{label} {name}")
        cells = "".join(f"<td>{page.number(column[index])}</td>" for column in scores[1:])
        rows.append(
            f'<tr><th scope="row">{page.swatch(hexadecimal(colours[index]))}{shown}</th>'
            f"<td>{page.bar(scores.f1[index])}{page.number(scores.f1[index])}</td>{cells}"
            f"<td>{counts.confusion[index].sum():,}</td></tr>"
        )
    means = "".join(f"<td>{page.number(mean_over_classes(column))}</td>" for column in scores)
    names = ("class", "F1", "precision", "recall", "samples")
    header = "".join(f'<th scope="col">{name}</th>' for name in names)
    wide = " wide" if len(class_names) > _SIDE_BY_SIDE else ""
    error = calibration_error(counts)
    html = f"""<div class="columns{wide}">
<section>
<h2>Classes</h2>
<div class="scroll"><table class="scores">
<thead><tr>{header}</tr></thead>
<tbody>
{chr(10).join(rows)}
</tbody>
<tfoot><tr><th scope="row">mean</th>{means}<td>{counts.confusion.sum():,}</td></tr></tfoot>
</table></div>
</section>
<section>
<h2>Confusion <span class="quiet">in % of the true class</span></h2>
{page.chart(matrix, "Confusion matrix: how each true class (row) was labelled, in percent")}
</section>
</div>
<h2>Calibration <span class="quiet">expected error {page.number(error)}</span></h2>
<p class="quiet">How often a prediction is right, by the probability that the model gives it. Below
the line the model is too sure of itself, above it too cautious.</p>
{page.chart(curve, "Accuracy of predictions by their confidence, and the number of each")}"""
    facts = {
        "class_names": list(class_names),
        "confusion": counts.confusion.tolist(),
        "calibration": {
            "error": error,
            "samples": counts.samples.tolist(),
            "right": counts.hits.tolist(),
            "confidence": counts.confidence.tolist(),
        },
    }
    return Section(html, {"confusion.png": matrix, "calibration.png": curve}, facts)


def samples(chosen: Sequence[Sample], class_names: Sequence[str]) -> Section:
    """Return samples as cards: the image, the true class and the likeliest ones."""
    facts = {"samples": [{"name": s.name, "group": s.group, "score": s.score} for s in chosen]}
    if not chosen:
        return Section("", facts=facts)
    lines = ["<h2>Samples</h2>"]
    for group, introduction in _INTRODUCTIONS.items():
        cards = [_card(sample, class_names) for sample in chosen if sample.group == group]
        if cards:
            title = f'{charts.readable(group)} <span class="quiet">{introduction}</span>'
            lines += [f"<h3>{title}</h3>", '<div class="cards">', *cards, "</div>"]
    figure = overview(
        [sample.fields["image"] for sample in chosen],
        [_titles(sample, class_names) for sample in chosen],
    )
    style = _STYLE.read_text(encoding="utf-8")
    return Section("\n".join(lines), {"samples.png": charts.png(figure)}, facts, style)


def _card(sample: Sample, class_names: Sequence[str]) -> str:
    image, truth = sample.fields["image"], int(sample.fields["label"])
    shares = sample.prediction["probabilities"]
    small = ' class="small"' if max(image.shape) < _LARGEST / 2 else ""
    source = page.inline(png_of(visible(image), _LARGEST))
    entries = "".join(
        f"<li{'' if index == truth else ' class=wrong'}><span>{escape(class_names[index])}</span>"
        f"{page.bar(float(shares[index]))}<span>{percent(float(shares[index]))}</span></li>"
        for index in np.argsort(-shares, kind="stable")[:_LIKELIEST]
    )
    name, true = escape(sample.name), escape(class_names[truth])
    caption = f'<span>{name}</span><span class="quiet">{true}</span>'
    return (
        f'<figure><img src="{source}" alt="{name}, truly {true}"{small}>'
        f"<figcaption>{caption}</figcaption><ol>{entries}</ol></figure>"
    )


def _titles(sample: Sample, class_names: Sequence[str]) -> list[tuple[str, str]]:
    truth, predicted = int(sample.fields["label"]), int(sample.prediction["label"])
    share = percent(float(sample.prediction["probabilities"][predicted]))
    is_right = truth == predicted
    colour = charts.INK if is_right else ERROR
    text = class_names[predicted]
    return [
        (sample.name, charts.MUTED),
        (text if is_right else f"{text}, truly {class_names[truth]}", colour),
        (share, charts.MUTED),
    ]
