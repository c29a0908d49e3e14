"""The loop: steps, evaluations and checkpoints, until the plan is fulfilled."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from configs.schema import CFG
from dataloader.batches import Batch, TrainingBatches, prefetched
from executor.devices.device import Device
from executor.distributed.barriers import exit_barrier
from executor.distributed.world import World
from executor.inference.validator import Validator
from executor.runs.throughput import StepTimer
from executor.training.divergence import DivergenceGuard
from executor.training.loop_state import StepMetrics
from executor.training.outputs import Outputs, Records
from executor.training.plan import Plan
from executor.training.profiler import Profiled
from executor.training.state import TrainState
from utils.errors import StoppedError
from utils.logs import log
from utils.signals import StopSignals

_REPEAT_SECONDS = 5.0  # as in `executor.launch.processes`
# Small batches are made several at once: each alone is quicker made than handed over.
_GROUP_STEPS = 32  # and as many as fit into `Device.group_bytes`


@dataclass(frozen=True)
class Fitting:
    """What the loop works with."""

    cfg: CFG
    plan: Plan
    state: TrainState
    judge: Validator
    take_steps: DivergenceGuard
    batches: TrainingBatches
    outputs: Outputs
    world: World
    device: Device
    watch: StepTimer
    profiled: Profiled
    """Steps are taken through it; see `executor.training.profiler`."""

    def fit(self) -> None:
        """Take steps until the plan is fulfilled, early stopping ends it or a signal arrives.

        Raises:
            DivergedError: See `executor.training.divergence`.
            StoppedError: If a signal asked to stop; a checkpoint was written.
            UserError: If something cannot be written.
        """
        repeats = _REPEAT_SECONDS if self.world.size > 1 else 0.0
        with StopSignals(repeats) as signals:
            while not self.is_over():  # again after the state has gone back
                self._go_on(signals)
        self.outputs.saver.wait()

    def is_over(self) -> bool:
        """Return whether nothing is left to train."""
        loop_state = self.state.loop_state
        return loop_state.step >= self.plan.total_steps or loop_state.gives_up(self.cfg.train)

    def _go_on(self, signals: StopSignals) -> None:
        """Take steps from where the state is to the end, or to where it goes back."""
        records = self.outputs.records(self.state.loop_state.step)
        with closing(records), closing(self._ahead()) as ahead:
            self.watch.start()
            for taken in self.profiled(self.take_steps(ahead)):
                for values in taken:
                    self._record(values, records)
                if self.plan.evaluates_at(self.state.loop_state.step):
                    with self.watch.paused():
                        self._evaluate(records)
                self._save_where_due(records, signals)
                self.watch.lap(len(taken))
                if self.state.loop_state.gives_up(self.cfg.train):
                    log.info("stopped early: %s has not improved", self.cfg.train.monitor)
                    return

    def _record(self, values: StepMetrics, records: Records) -> None:
        """Show one step, and write a row of the mean since the last one where one is due."""
        loop_state = self.state.loop_state
        if values.left_out is None:
            loop_state.loss_sum += values.loss
            loop_state.loss_count += 1
        records.step(values.step, values.loss)
        if self.plan.logs_at(values.step):
            row = {"loss": loop_state.take_mean_loss(), "grad_norm": values.grad_norm}
            records.training(values.step, {**row, "learning_rate": values.learning_rate})

    def _evaluate(self, records: Records) -> None:
        judged = self.judge.evaluate_part(self.state.eval_model)
        records.evaluation(self.state.loop_state.step, judged)
        self.state.loop_state.record_evaluation(judged, self.cfg.train)
        self.state.after_evaluation(judged[self.cfg.train.monitor])

    def _save_where_due(self, records: Records, signals: StopSignals) -> None:
        step, saver = self.state.loop_state.step, self.outputs.saver
        # A signal reaches some processes a step before the others; they stop together.
        received, is_due = self.world.largest(signals.received or 0, saver.is_due())
        if self.plan.checkpoints_at(step) or is_due or received:
            with self.watch.paused():
                records.write()
                self.outputs.tell()
                saver.save(self.state)
        if received:
            saver.wait()
            exit_barrier(self.world)  # the others wait for the checkpoint
            raise StoppedError(
                f"stopped at step {step} of {self.plan.total_steps} with a checkpoint; "
                "the same command continues from there.",
                received,
            )

    def _ahead(self) -> Generator[Batch]:
        """Yield the remaining samples, made ahead by threads where there are workers.

        Each item holds those of one step, or of several steps where they are small.
        """
        height, width = self.cfg.data.image_size
        batch_bytes = self.plan.batch_size * height * width * 4  # three channels and a mask
        most = min(max(self.device.group_bytes // batch_bytes, 1), _GROUP_STEPS)
        return prefetched(
            lambda positions: self.device.pinned(self.batches.at(positions.start, len(positions))),
            self.plan.groups(self.state.loop_state, most),
            self.cfg.data.workers,
        )
