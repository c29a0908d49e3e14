"""What a training writes while it runs: all of it by the first process, nothing by the others."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

from configs.schema import CFG
from executor.checkpoints.checkpointer import Checkpointer
from executor.runs.metrics_logger import MetricsLogger
from executor.runs.run_directory import RunDirectory
from executor.runs.throughput import StepTimer
from executor.training.plan import Plan
from executor.training.state import TrainState
from executor.training.telling import told


class Records(Protocol):
    """What the loop says about its steps; see `executor.runs.metrics_logger`."""

    def step(self, step: int, loss: float) -> None:
        """Show a finished step."""

    def training(self, step: int, values: Mapping[str, float]) -> None:
        """Record a row of training values."""

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Record the values of an evaluation on the validation split."""

    def write(self) -> None:
        """Write what waits."""

    def close(self) -> None:
        """Write what is still waiting."""


class Saves(Protocol):
    """What keeps the state; see `executor.checkpoints.checkpointer`."""

    def is_due(self) -> bool:
        """Return whether it is time to save."""

    def save(self, state: TrainState) -> None:
        """Save the state."""

    def wait(self) -> None:
        """Return when the last checkpoint is on disk."""


@dataclass(frozen=True)
class Outputs:
    """Where the loop's rows, checkpoints and status go."""

    records: Callable[[int], Records]
    """Opens the outputs of rows for a run that has done so many steps."""
    saver: Saves
    tell: Callable[[], None]
    """Says how far the run is; see `executor.training.telling`."""


@contextmanager
def outputs(
    cfg: CFG, run: RunDirectory | None, plan: Plan, state: TrainState, watch: StepTimer
) -> Iterator[Outputs]:
    """Open what a training writes.

    Args:
        cfg: The configuration.
        run: The run's folder; None in the processes that write nothing.
        plan: The run's plan.
        state: That of the run.
        watch: Times its steps.
    """
    if run is None:
        yield Outputs(lambda step: NoRecords(), NoSaver(), lambda: None)
        return
    with told(cfg, run, plan, state, watch) as tell, closing(Checkpointer(cfg, run)) as saver:
        run.publish()
        yield Outputs(lambda step: MetricsLogger(cfg, run, plan, step), saver, tell)
    run.publish()


class NoRecords:
    """Records nothing."""

    def step(self, step: int, loss: float) -> None:
        """Do nothing."""

    def training(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def write(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class NoSaver:
    """Saves nothing."""

    def is_due(self) -> bool:
        """Say that it is not."""
        return False

    def save(self, state: TrainState) -> None:
        """Take part in collecting the state, which may lie on all processes."""
        state.state_dict()

    def wait(self) -> None:
        """Do nothing."""
