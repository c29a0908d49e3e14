"""Keeps the most telling samples of an evaluation: the best, the worst and some at random."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from evaluation.confusion import iou_of_classes, mean_over_classes
from utils import seeding

Group = Literal["best", "worst", "random"]


@dataclass(frozen=True, eq=False)
class Sample:
    """One evaluated image.

    Attributes:
        name: What the data source calls it.
        group: Why it was picked.
        score: Mean IoU of this image alone, 0 to 1.
        image: uint8 [H, W, 3].
        truth: uint8 [H, W].
        prediction: uint8 [H, W].
    """

    name: str
    group: Group
    score: float
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


class SamplePicker:
    """Picks samples while an evaluation runs; holds at most five times `count` of them.

    What is picked depends on the seed and the samples, not on the size of the batches.
    """

    def __init__(self, count: int = 4, seed: int = 0, ignore_index: int = 255) -> None:
        """Start with nothing.

        Args:
            count: Samples for each of the three groups, 0 or more.
            seed: Chooses the random ones.
            ignore_index: Pixels with this true value do not count.
        """
        self._count = count
        self._seed = seed
        self._ignore_index = ignore_index
        self._kept: list[_Candidate] = []

    def update(
        self,
        images: np.ndarray,
        truth: np.ndarray,
        prediction: np.ndarray,
        names: Sequence[str],
        indices: np.ndarray,
    ) -> None:
        """Look at one batch and copy what is worth keeping.

        Args:
            images: uint8 [B, H, W, 3].
            truth: uint8 [B, H, W].
            prediction: uint8 [B, H, W].
            names: B names.
            indices: int64 [B], the samples' places in their split; each is seen once.
        """
        scores = image_iou(truth, prediction, self._ignore_index)
        # A draw belongs to its sample's index, so neither batches nor machines change the choice.
        first = int(indices.min())
        draws = seeding.uniform_draws(
            self._seed, seeding.REPORT, first, int(indices.max()) - first + 1, 4
        )[indices - first, 0]
        kept = self._kept
        chosen = self._choose(
            np.concatenate([[candidate.score for candidate in kept], scores]),
            np.concatenate([[candidate.draw for candidate in kept], draws]),
            np.concatenate([[candidate.index for candidate in kept], indices]),
        )
        self._kept = [
            kept[place]
            if place < len(kept)
            else _Candidate(
                index=int(indices[row := place - len(kept)]),
                score=float(scores[row]),
                draw=float(draws[row]),
                name=names[row],
                image=images[row].copy(),
                truth=truth[row].copy(),
                prediction=prediction[row].copy(),
            )
            for place in chosen
        ]

    def packed(self) -> bytes:
        """Return what is kept, for `join`."""
        file = io.BytesIO()
        kept = self._kept
        np.savez(
            file,
            **{f"{i}/{name}": getattr(one, name) for i, one in enumerate(kept) for name in _FIELDS},
        )
        return file.getvalue()

    def join(self, parts: Iterable[bytes]) -> None:
        """Keep the most telling of what pickers of disjoint parts have kept.

        Args:
            parts: What `packed` returned in each.
        """
        self._kept = [candidate for part in parts for candidate in _unpacked(part)]
        scores, draws, indices = (
            np.array([getattr(one, name) for one in self._kept])
            for name in ("score", "draw", "index")
        )
        self._kept = [self._kept[place] for place in self._choose(scores, draws, indices)]

    def samples(self) -> list[Sample]:
        """Return the best (best first), the worst (worst first) and the random ones.

        No sample is in two groups; where there are too few, groups are smaller.
        """
        ranked = sorted(self._kept, key=lambda candidate: (candidate.score, candidate.index))
        best_count = min(self._count, (len(ranked) + 1) // 2)
        worst_count = min(self._count, len(ranked) // 2)
        middle = ranked[worst_count : len(ranked) - best_count]
        groups: tuple[tuple[Group, list[_Candidate]], ...] = (
            ("best", ranked[::-1][:best_count]),
            ("worst", ranked[:worst_count]),
            ("random", sorted(middle, key=lambda candidate: candidate.draw)[: self._count]),
        )
        return [
            Sample(one.name, group, one.score, one.image, one.truth, one.prediction)
            for group, candidates in groups
            for one in candidates
        ]

    def _choose(self, scores: np.ndarray, draws: np.ndarray, indices: np.ndarray) -> list[int]:
        scored = np.flatnonzero(~np.isnan(scores))
        by_score = scored[np.lexsort((indices[scored], scores[scored]))]
        # The random ones must not repeat the best and the worst, which are known at the end only.
        by_draw = scored[np.argsort(draws[scored])][: 3 * self._count]
        extremes = (by_score[: self._count], by_score[max(0, len(by_score) - self._count) :])
        return [int(place) for place in np.unique(np.concatenate([*extremes, by_draw]))]


def image_iou(truth: np.ndarray, prediction: np.ndarray, ignore_index: int) -> np.ndarray:
    """Return the mean IoU of each image over the classes that occur in it.

    Args:
        truth: uint8 [B, H, W].
        prediction: uint8 [B, H, W].
        ignore_index: Pixels with this true value do not count.

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


@dataclass(frozen=True, eq=False)
class _Candidate:
    index: int
    score: float
    draw: float
    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


_FIELDS = tuple(field.name for field in fields(_Candidate))


def _unpacked(content: bytes) -> list[_Candidate]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        count = len(file.files) // len(_FIELDS)
        return [_Candidate(**{n: _plain(file[f"{i}/{n}"]) for n in _FIELDS}) for i in range(count)]


def _plain(array: np.ndarray) -> Any:
    """Return a number or a text as such, and an image as it is."""
    return array if array.ndim else array.item()
