"""Turns epochs into steps and answers "is it time?", in one place."""

from collections.abc import Iterator
from dataclasses import dataclass

from configs.schema import CFG
from executor.training.loop_state import LoopState


@dataclass(frozen=True)
class Plan:
    """When the things of a run happen; steps are counted from 1, after their update.

    The training samples are an endless stream, one fresh permutation after the other, that batches
    cut without regard to its epochs. So every batch is full and every epoch is whole.
    """

    samples: int
    """Samples in the training split."""
    batch_size: int
    total_steps: int
    """The last step of the run."""
    log_every: int
    """Steps."""
    checkpoint_every: int
    """Steps."""
    evaluate_every: int
    """Epochs."""

    @classmethod
    def of(cls, cfg: CFG, samples: int) -> "Plan":
        """Return the plan that a configuration makes for so many training samples."""
        train = cfg.train
        steps = -(-train.epochs * samples // train.batch_size)
        return cls(
            samples=samples,
            batch_size=train.batch_size,
            total_steps=min(steps, train.max_steps or steps),
            log_every=cfg.run.log_every,
            checkpoint_every=train.checkpoint_every,
            evaluate_every=train.evaluate_every,
        )

    def groups(self, loop_state: LoopState, most: int) -> Iterator[range]:
        """Yield the steps that are still to do in groups: the positions of each group's samples.

        A group ends where the state is needed, at every evaluation and checkpoint, and before a
        batch that is left out. The next one begins behind that.

        Args:
            loop_state: Where the run is, and what it leaves out.
            most: Steps in a group, at least 1.
        """
        step, position, left_out = loop_state.step, loop_state.position, set(loop_state.left_out)
        while step < self.total_steps:
            while position in left_out:
                position += self.batch_size
            start = position
            is_whole = False
            while not is_whole:
                step, position = step + 1, position + self.batch_size
                is_whole = (
                    position - start == most * self.batch_size
                    or self.checkpoints_at(step)
                    or position in left_out
                )
            yield range(start, position)

    def epoch(self, step: int) -> float:
        """Return how many times the training split has been seen after a step."""
        return step * self.batch_size / self.samples

    def evaluates_at(self, step: int) -> bool:
        """Return whether a step completes an epoch after which the model is evaluated."""
        span = self.samples * self.evaluate_every
        seen = step * self.batch_size
        return step == self.total_steps or seen // span > (seen - self.batch_size) // span

    def logs_at(self, step: int) -> bool:
        """Return whether a row of training metrics is due."""
        return step % self.log_every == 0 or step == self.total_steps

    def checkpoints_at(self, step: int) -> bool:
        """Return whether a checkpoint is due."""
        return step % self.checkpoint_every == 0 or self.evaluates_at(step)
