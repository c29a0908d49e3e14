"""The generated project's own training, with everything on."""

import gpu_work
from dataloader.batches import Batch
from executor.training import trainer
from executor.training.loop_state import StepMetrics
from executor.training.step import TrainStep

_CFG, _WATCH = gpu_work.given()


class WatchedStep(TrainStep):
    """The project's step, which notes how many were taken."""

    def __call__(self, chunk: Batch) -> list[StepMetrics]:
        """Take the steps of a chunk."""
        taken = super().__call__(chunk)
        _WATCH.passed(len(taken))
        return taken


if __name__ == "__main__":
    trainer.TrainStep = WatchedStep
    trainer.Trainer(_CFG).fit()
