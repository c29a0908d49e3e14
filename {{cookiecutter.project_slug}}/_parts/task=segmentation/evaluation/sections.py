"""The parts of the report that belong to segmentation: scores of classes, and samples."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from evaluation import charts, page
from evaluation.colours import ERROR, class_colours, hexadecimal, rgb
from evaluation.confusion import class_scores, mean_over_classes
from evaluation.confusion_chart import confusion_matrix
from evaluation.evaluator import Section
from evaluation.samples import Sample
from ops.images.arrays import png_of, visible

_STYLE = Path(__file__).with_name("sections.css")
TILES = ("image", "truth", "prediction", "errors")
GAP = 3  # transparent pixels between the tiles of a strip, and between strips
_STRIP_PIXELS = 1100  # widest strip in the page: two pixels for each that a page 1200 wide shows
_SIDE_BY_SIDE = 6  # with more classes the confusion matrix needs the whole width
_INTRODUCTIONS = {
    "best": "The highest mean IoU of a single image.",
    "worst": "The lowest: what to look at first.",
    "random": "Chosen by the seed, neither best nor worst.",
}


def classes(confusion: np.ndarray, class_names: Sequence[str]) -> Section:
    """Return the scores of each class, and the confusion matrix, int64 [C truth, C prediction]."""
    png = charts.png(confusion_matrix(confusion, class_names))
    scores = class_scores(confusion)
    columns = scores[:4]
    colours = class_colours(class_names)
    rows = []
    labels = charts.drawable(class_names)
    for index, (name, label) in enumerate(zip(class_names, labels, strict=True)):
        shown = escape(name if label == name else f"{label} {name}")
        cells = "".join(f"<td>{page.number(column[index])}</td>" for column in columns[1:])
        rows.append(
            f'<tr><th scope="row">{page.swatch(hexadecimal(colours[index]))}{shown}</th>'
            f"<td>{page.bar(scores.iou[index])}{page.number(scores.iou[index])}</td>{cells}"
            f"<td>{page.percent(scores.share[index])}</td></tr>"
        )
    means = "".join(f"<td>{page.number(mean_over_classes(column))}</td>" for column in columns)
    names = ("class", "IoU", "Dice", "precision", "recall", "pixels")
    header = "".join(f'<th scope="col">{name}</th>' for name in names)
    alt = "Confusion matrix: how the pixels of each true class (row) were labelled, in percent"
    wide = " wide" if len(class_names) > _SIDE_BY_SIDE else ""
    html = f"""<div class="columns{wide}">
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
    facts = {"class_names": list(class_names), "confusion": confusion.tolist()}
    return Section(html, {"confusion.png": png}, facts)


def samples(chosen: Sequence[Sample], class_names: Sequence[str], ignore_index: int) -> Section:
    """Return samples as strips: the image, the truth, the prediction and what is wrong."""
    facts = {"samples": [{"name": s.name, "group": s.group, "score": s.score} for s in chosen]}
    if not chosen:
        return Section("", facts=facts)
    strips = [strip_of(sample, class_names, ignore_index) for sample in chosen]
    rows = np.concatenate([np.pad(strip, ((0, GAP), (0, 0), (0, 0))) for strip in strips])
    enlarged = rows.repeat(scale := max(1, _STRIP_PIXELS // rows.shape[1]), 0).repeat(scale, 1)
    entries = "\n".join(
        f"<li>{page.swatch(colour)}{escape(label)}</li>"
        for label, colour in legend(chosen, class_names, ignore_index)
    )
    tiles = "".join(f"<span>{tile}</span>" for tile in TILES)
    lines = [f'<h2>Samples</h2>\n<ul class="legend">\n{entries}\n</ul>']
    for group, introduction in _INTRODUCTIONS.items():
        pairs = zip(chosen, strips, strict=True)
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
    style = _STYLE.read_text(encoding="utf-8")
    return Section("\n".join(lines), {"samples.png": png_of(enlarged)}, facts, style)


def _sample(sample: Sample, strip: np.ndarray) -> str:
    name, score = escape(sample.name), page.number(sample.score)
    alt = f"{name}: image, true mask, predicted mask and wrong pixels; mean IoU {score}"
    small = ' class="small"' if strip.shape[1] < _STRIP_PIXELS / 2 else ""
    source = page.inline(png_of(strip, _STRIP_PIXELS))
    caption = f'<span>{name}</span><span class="quiet">IoU {score}</span>'
    image = f'<img src="{source}" alt="{alt}"{small}>'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def strip_of(sample: Sample, class_names: Sequence[str], ignore_index: int = 255) -> np.ndarray:
    """Return image, truth, prediction and errors side by side.

    Wrong pixels are vermilion over the image in grey; ignored ones are black.

    Returns:
        uint8 [H, 4 W + gaps, 4], red, green, blue and opacity (the gaps are transparent).
    """
    colours = class_colours(class_names)
    truth, prediction = sample.fields["mask"], sample.prediction["mask"]
    image = visible(sample.fields["image"])
    ignored = truth == ignore_index
    grey = image.mean(axis=2, keepdims=True) * 0.55 + 60
    errors = np.repeat(grey.astype(np.uint8), 3, axis=2)
    errors[(prediction != truth) & ~ignored] = rgb(ERROR)
    errors[ignored] = 0
    height, width = truth.shape
    picture = np.zeros((height, len(TILES) * (width + GAP) - GAP, 4), np.uint8)
    tiles = (image, colours[truth], colours[prediction], errors)
    for tile, left in zip(tiles, range(0, picture.shape[1], width + GAP), strict=True):
        picture[:, left : left + width, :3] = tile
        picture[:, left : left + width, 3] = 255
    return picture


def legend(
    samples: Iterable[Sample], class_names: Sequence[str], ignore_index: int = 255
) -> list[tuple[str, str]]:
    """Return (label, #RRGGBB) of all that the strips of some samples show."""
    colours = class_colours(class_names)
    entries = [(name, hexadecimal(colours[index])) for index, name in enumerate(class_names)]
    if any((sample.fields["mask"] == ignore_index).any() for sample in samples):
        entries.append(("ignored", "#000000"))
    return [*entries, ("wrong", ERROR)]
