"""The generated project's own training, `executor.train.train`, with everything on."""

from collections.abc import Iterator

import gpu_work
from dataloader.batches import Batch
from executor.training import trainer as train
from executor.training.step import TrainStep
from executor.training.values import StepMetrics

_CFG, _WATCH = gpu_work.given()


class WatchedStep(TrainStep):
    """The project's step, which tells how many were taken."""

    def __call__(self, group: Batch) -> Iterator[list[StepMetrics]]:
        """Take the steps of a group of batches."""
        for taken in super().__call__(group):
            yield taken
            _WATCH.passed(len(taken))


if __name__ == "__main__":
    train.TrainStep = WatchedStep
    train.train(_CFG)
