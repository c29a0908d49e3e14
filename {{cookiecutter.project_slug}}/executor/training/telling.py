"""Tells others what a run is doing, by a small file in its folder; see `executor.runs.status`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from configs.schema import CFG
from executor.runs import status
from executor.runs.run_directory import RunDirectory
from executor.runs.throughput import StepTimer
from executor.training.plan import Plan
from executor.training.state import TrainState
from utils.errors import DivergedError, StoppedError, UserError


@contextmanager
def told(
    cfg: CFG, run: RunDirectory, plan: Plan, state: TrainState, watch: StepTimer
) -> Iterator[Callable[[], None]]:
    """Say that a run is running and how fast, and in the end how it ended.

    Yields:
        What says again how far it is.
    """

    def tell(what: status.State) -> None:
        status.write(
            run.path / status.FILE_NAME,
            what,
            step=state.loop_state.step,
            total_steps=plan.total_steps,
            best=state.loop_state.best_value,
            monitor=cfg.train.monitor,
            images_per_second=watch.images_per_second,
        )

    def tell_end(what: status.State) -> None:
        with suppress(UserError):  # the error that ends the run says more
            tell(what)
            run.publish()

    tell("running")
    try:
        yield lambda: tell("running")
    except StoppedError:
        tell_end("stopped")
        raise
    except DivergedError:
        tell_end("diverged")
        raise
    except BaseException:
        tell_end("failed")
        raise
    tell("finished")
