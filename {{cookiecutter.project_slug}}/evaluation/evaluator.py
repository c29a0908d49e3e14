"""What the executor asks of anything that scores predictions; implement it to measure otherwise."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Evaluator(Protocol):
    """Scores predictions as a stream, so that memory does not grow with the data.

    Attributes:
        totals: All that has been counted. Adding the totals of two evaluators gives the totals of
            both streams: this is how the parts that several machines have seen become one result.
    """

    totals: np.ndarray

    def update(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count one batch.

        Args:
            truth: uint8 [B, H, W], the class of every pixel or the value that is ignored.
            prediction: uint8 [B, H, W], the predicted class of every pixel.
        """
        ...

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield (name, value) for everything counted so far; a UserError if that is nothing."""
        ...
