"""Turns epochs into steps and answers "is it time?", in one place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from configs.schema import Run, Train
from executor.training.loop_state import LoopState

# Small steps are taken several at once, since handing over a batch takes longer than making it: as
# many as fit into these bytes and seconds. Signals are looked at between two chunks.
_CHUNK_STEPS, _CHUNK_BYTES, _CHUNK_SECONDS = 32, 1 << 20, 0.25


@dataclass(frozen=True)
class Plan:
    """When the things of a run happen; steps are counted from 1, after their update.

    The training samples are an endless stream, one fresh permutation after the other, that batches
    cut without regard to its epochs. So every batch is full and every epoch is whole.
    """

    samples: int  # in the training split
    batch_size: int
    total_steps: int  # the last step of the run
    log_every: int  # steps
    checkpoint_every: int  # steps
    evaluate_every: int  # epochs

    @classmethod
    def of(cls, train: Train, run: Run, samples: int) -> "Plan":
        """Return the plan that a configuration makes for so many training samples."""
        steps = -(-train.epochs * samples // train.batch_size)
        return cls(
            samples=samples,
            batch_size=train.batch_size,
            total_steps=min(steps, train.max_steps or steps),
            log_every=run.log_every,
            checkpoint_every=train.checkpoint_every,
            evaluate_every=train.evaluate_every,
        )

    def chunks(self, state: LoopState, most: Callable[[], int]) -> Iterator[range]:
        """Yield the steps that are still to do in chunks: the positions of each chunk's samples.

        A chunk has at most `most()` steps. It ends where the state is needed, at every evaluation
        and checkpoint, and before a batch that is skipped. The next one begins behind that.
        """
        step, offset, skipped = state.step, state.sample_offset, set(state.skipped)
        while step < self.total_steps:
            while offset in skipped:
                offset += self.batch_size
            count = min(most(), self.next_boundary(step) - step)
            ends = (offset + self.batch_size * number for number in range(1, count))
            end = next((e for e in ends if e in skipped), offset + self.batch_size * count)
            yield range(offset, end)
            step, offset = step + (end - offset) // self.batch_size, end

    def fitting_steps(self, sample_bytes: int, seconds: float) -> int:
        """Return how many steps a chunk takes, if a step takes so many seconds."""
        in_memory = _CHUNK_BYTES // (self.batch_size * sample_bytes)
        in_time = int(_CHUNK_SECONDS / max(seconds, 1e-9))
        return max(1, min(_CHUNK_STEPS, in_memory, in_time))

    def next_boundary(self, step: int) -> int:
        """Return the first step after this one with a checkpoint or evaluation, or the last."""
        span = self.samples * self.evaluate_every
        epochs = step * self.batch_size // span + 1
        evaluation = -(-epochs * span // self.batch_size)
        checkpoint = (step // self.checkpoint_every + 1) * self.checkpoint_every
        return min(evaluation, checkpoint, self.total_steps)

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
