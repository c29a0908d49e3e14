"""The generated project's own training, with everything on.

The forward pass of a model runs in a graph, several times for one call from Python, and cannot tell
when a step begins. So the one thing that is replaced is the name by which the training finds its
`TrainStep`: by a subclass that counts what is handed over.
"""

import executor.training.trainer
from dataloader.batches import Batch
from executor.training.step import StepMetrics, TrainStep
from training import configuration
from turns import begin_step
from workload import Workload


class CountedTrainStep(TrainStep):
    """Waits for its turn before the first steps, and whenever some are taken and recorded."""

    _taken = 0

    def __call__(self, chunk: Batch) -> list[StepMetrics]:
        """Take the steps of a chunk."""
        begin_step(self._taken)
        taken = super().__call__(chunk)
        self._taken = len(taken)
        return taken


def main() -> None:
    """Train with the generated defaults, but for the data, the model and the length."""
    work = Workload.given()
    executor.training.trainer.TrainStep = CountedTrainStep
    executor.training.trainer.Trainer(configuration(work, work.target)).fit()


if __name__ == "__main__":
    main()
