"""Keeps some samples of an evaluation: the best, the worst and some at random."""

import io
import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from itertools import repeat
from operator import attrgetter
from typing import Any, Literal

import numpy as np

from evaluation.confusion import iou_of_classes, mean_over_classes
from evaluation.evaluator import Arrays, Section
from utils import seeding

Group = Literal["best", "worst", "random"]


@dataclass(frozen=True, eq=False)
class Sample:
    """One evaluated image, uint8 [H, W, 3], with its masks, uint8 [H, W], and why it was picked."""

    name: str
    group: Group
    score: float
    """Mean IoU of this image alone, 0 to 1."""
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    index: int = 0
    """Its place in the split."""
    draw: float = 0.0
    """Its random number, 0 to 1: the random ones are those with the lowest."""


_FIELDS = tuple(field.name for field in fields(Sample))
_BY_SCORE, _BY_DRAW = attrgetter("score", "index"), attrgetter("draw")


class SamplePicker:
    """Picks samples while an evaluation runs; holds at most five times `count` of them.

    What is picked depends on the seed and the samples, not on the size of the batches.
    """

    def __init__(
        self,
        names: Sequence[str],
        class_names: Sequence[str],
        seed: int = 0,
        ignore_index: int = 255,
        count: int = 4,
    ) -> None:
        """Start with nothing; `count` samples are kept for each of the three groups.

        `names` are those of all samples of the split.
        """
        self._names = names
        self._class_names = class_names
        self._count = count
        self._seed = seed
        self._ignore_index = ignore_index
        self._kept: list[Sample] = []

    def update(self, fields: Arrays, prediction: Arrays) -> None:
        """Look at one batch and copy what is worth keeping; each sample is seen once.

        Images are uint8 [B, H, W, 3], masks and predicted ones [B, H, W]; `index`, int64 [B], is
        the samples' places in their split.
        """
        images, truth, indices = fields["image"], fields["mask"], fields["index"]
        predicted = prediction["mask"]
        names = [self._names[index] for index in indices]
        scores = image_iou(truth, predicted, self._ignore_index)
        # A draw belongs to its sample's index, so neither batches nor machines change the choice.
        first = int(indices.min())
        draws = seeding.uniform_draws(
            self._seed, seeding.REPORT, first, int(indices.max()) - first + 1, 4
        )[indices - first, 0]
        numbers = (scores.tolist(), images, truth, predicted, indices.tolist(), draws.tolist())
        seen = [Sample(*facts) for facts in zip(names, repeat("random"), *numbers, strict=False)]
        self._kept = [
            one if one in self._kept else deepcopy(one) for one in self._choose(self._kept + seen)
        ]

    def packed(self) -> bytes:
        """Return what is kept, for `join`."""
        file = io.BytesIO()
        kept = enumerate(self._kept)
        np.savez(file, **{f"{i}/{name}": getattr(one, name) for i, one in kept for name in _FIELDS})
        return file.getvalue()

    def join(self, parts: Iterable[bytes]) -> None:
        """Keep the best, worst and random ones of what pickers of disjoint parts have `packed`."""
        self._kept = self._choose(one for part in parts for one in _unpacked(part))

    def section(self) -> Section:
        """Return the samples, for the report."""
        from evaluation.sections import samples  # charts, which nothing else needs

        return samples(self.samples(), self._class_names, self._ignore_index)

    def samples(self) -> list[Sample]:
        """Return the best (best first), the worst (worst first) and the random ones.

        No sample is in two groups; where there are too few, groups are smaller.
        """
        ranked = sorted(self._kept, key=_BY_SCORE)
        best_count = min(self._count, (len(ranked) + 1) // 2)
        worst_count = min(self._count, len(ranked) // 2)
        middle = ranked[worst_count : len(ranked) - best_count]
        groups: dict[Group, list[Sample]] = {
            "best": ranked[::-1][:best_count],
            "worst": ranked[:worst_count],
            "random": sorted(middle, key=_BY_DRAW)[: self._count],
        }
        return [replace(one, group=group) for group, chosen in groups.items() for one in chosen]

    def _choose(self, candidates: Iterable[Sample]) -> list[Sample]:
        scored = sorted((one for one in candidates if not math.isnan(one.score)), key=_BY_SCORE)
        extremes = scored[: self._count] + scored[max(0, len(scored) - self._count) :]
        # The random ones must not repeat the best and the worst, which are known at the end only.
        random = sorted(scored, key=_BY_DRAW)[: 3 * self._count]
        return list(dict.fromkeys(extremes + random))


def image_iou(truth: np.ndarray, prediction: np.ndarray, ignore_index: int) -> np.ndarray:
    """Return the mean IoU of each image, uint8 [B, H, W], over the classes that occur in it.

    Returns:
        float64 [B] in 0 to 1; NaN for an image in which nothing counts.
    """
    counted = truth != ignore_index
    classes = 1 + int(max(truth.max(initial=0, where=counted), prediction.max(initial=0)))
    # Ignored pixels make a last row of the confusion matrix, which is cut off.
    pair = np.where(counted, truth, classes).astype(np.int32) * classes + prediction
    scores = np.empty(len(truth))
    for row, pairs in enumerate(pair.reshape(len(truth), -1)):
        counts = np.bincount(pairs, minlength=(classes + 1) * classes)[: classes * classes]
        scores[row] = mean_over_classes(iou_of_classes(counts.reshape(classes, classes)))
    return scores


def _unpacked(content: bytes) -> list[Sample]:
    def value(array: np.ndarray) -> Any:
        return array if array.ndim else array.item()  # numbers and texts as such

    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        count = len(file.files) // len(_FIELDS)
        return [Sample(**{n: value(file[f"{i}/{n}"]) for n in _FIELDS}) for i in range(count)]
