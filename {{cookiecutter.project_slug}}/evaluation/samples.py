"""Keeps some samples of an evaluation: the best, the worst and some at random."""

import io
import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal

import numpy as np

from evaluation.evaluator import Arrays, Section
from utils import seeding

Group = Literal["best", "worst", "random"]


@dataclass(frozen=True, eq=False)
class Sample:
    """One evaluated sample, and why it was picked."""

    name: str
    group: Group
    score: float
    """How well it was predicted: greater is better."""
    fields: Arrays
    """[...] by name, as the model was given them."""
    prediction: Arrays
    """[...] by name."""
    index: int = 0
    """Its place in the split."""
    draw: float = 0.0
    """Its random number, 0 to 1: the random ones are those with the lowest."""

    def with_field(self, name: str, array: np.ndarray) -> "Sample":
        """Return the sample with another value of a field."""
        return replace(self, fields={**self.fields, name: array})


_BY_SCORE, _BY_DRAW = attrgetter("score", "index"), attrgetter("draw")


class SamplePicker:
    """Picks samples while an evaluation runs; holds at most five times `count` of them.

    What is picked depends on the seed and the samples, not on the size of the batches.
    """

    def __init__(
        self,
        names: Sequence[str],
        seed: int,
        score: Callable[[Arrays, Arrays], np.ndarray],
        show: Callable[[Sequence[Sample]], Section],
        count: int = 4,
    ) -> None:
        """Start with nothing.

        Args:
            names: Those of all samples of the split.
            seed: The seed of the random ones.
            score: Returns how well each sample of a batch is predicted, float64 [B], from its
                fields and the prediction; NaN leaves it out.
            show: Returns what the report shows of the samples that were picked.
            count: How many samples are kept for each of the three groups.
        """
        self._names = names
        self._seed = seed
        self._score = score
        self._show = show
        self._count = count
        self._kept: list[Sample] = []

    def update(self, fields: Arrays, prediction: Arrays) -> None:
        """Look at one batch and copy what is worth keeping; each sample is seen once.

        The field `index`, int64 [B], is the samples' places in their split.
        """
        indices = fields["index"]
        # A draw belongs to its sample's index, so neither batches nor machines change the choice.
        first = int(indices.min())
        count = int(indices.max()) - first + 1
        draws = seeding.uniform_draws(self._seed, seeding.REPORT, first, count, 4)[:, 0]
        seen = [
            Sample(
                name=self._names[index],
                group="random",
                score=score,
                fields={name: array[row] for name, array in fields.items()},
                prediction={name: array[row] for name, array in prediction.items()},
                index=index,
                draw=float(draws[index - first]),
            )
            for row, (index, score) in enumerate(
                zip(indices.tolist(), self._score(fields, prediction).tolist(), strict=True)
            )
        ]
        self._kept = [
            one if one in self._kept else deepcopy(one) for one in self._choose(self._kept + seen)
        ]

    def packed(self) -> bytes:
        """Return what is kept, for `join`."""
        file, arrays = io.BytesIO(), {}
        for number, one in enumerate(self._kept):
            arrays[f"{number}/sample"] = np.array([one.score, one.draw])
            arrays |= {f"{number}/fields/{name}": array for name, array in one.fields.items()}
            arrays |= {f"{number}/prediction/{name}": a for name, a in one.prediction.items()}
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    def join(self, parts: Iterable[bytes]) -> None:
        """Keep the best, worst and random ones of what pickers of disjoint parts have `packed`."""
        self._kept = self._choose(one for part in parts for one in self._unpacked(part))

    def section(self) -> Section:
        """Return the samples, for the report."""
        return self._show(self.samples())

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

    def _unpacked(self, content: bytes) -> Iterable[Sample]:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            number = 0
            while (key := f"{number}/sample") in file:
                score, draw = file[key].tolist()
                fields, prediction = (
                    {n.removeprefix(start): file[n] for n in file.files if n.startswith(start)}
                    for start in (f"{number}/fields/", f"{number}/prediction/")
                )
                index = int(fields["index"])
                name = self._names[index]
                yield Sample(name, "random", score, fields, prediction, index, draw)
                number += 1
