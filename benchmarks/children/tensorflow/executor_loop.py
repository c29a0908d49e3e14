"""The generated project's own training, `executor.train.train`, with everything on.

The forward pass of a model runs in a graph, several times for one call from Python, and cannot tell
when a step begins. So the one thing that is replaced is the name by which the training finds its
`TrainStep`: by a subclass that counts what is handed over.
"""

from collections.abc import Iterator

import executor.training.trainer
from dataloader.batches import Batch
from executor.training.step import StepMetrics, TrainStep
from training import configuration
from turns import begin_step
from workload import Workload


class CountedTrainStep(TrainStep):
    """Waits for its turn before the first steps, and whenever some are taken and recorded."""

    _is_first = True

    def __call__(self, group: Batch) -> Iterator[list[StepMetrics]]:
        """Take the steps of a group."""
        if self._is_first:
            begin_step()
            self._is_first = False
        for values in super().__call__(group):
            yield values
            begin_step(len(values))


def main() -> None:
    """Train with the generated defaults, but for the data, the model and the length."""
    work = Workload.given()
    executor.train.TrainStep = CountedTrainStep
    executor.train.train(configuration(work, work.target))


if __name__ == "__main__":
    main()
