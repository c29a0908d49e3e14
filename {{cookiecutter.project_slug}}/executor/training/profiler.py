"""Writes a trace of a few steps into the run's folder: `executor.profile`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from configs.schema import CFG
from executor.devices.trace import Tracer
from executor.runs.run_directory import RunDirectory
from executor.runs.throughput import WARM_UP_STEPS, StepTimer
from executor.training.loop_state import StepMetrics
from executor.training.plan import Plan
from executor.training.state import TrainState
from utils import storage
from utils.logs import log

_STEPS = 5
_VIEWER = "https://ui.perfetto.dev"

Steps = Iterable[list[StepMetrics]]
Profiled = Callable[[Steps], Steps]


@contextmanager
def profiling(
    cfg: CFG, run: RunDirectory | None, plan: Plan, state: TrainState, watch: StepTimer
) -> Iterator[Profiled]:
    """Trace some steps, if that is wanted.

    Args:
        cfg: `executor.profile` is used.
        run: Where the trace goes; None in the processes that write nothing, and trace nothing.
        plan: The run's plan.
        state: That of the run.
        watch: Does not count what is traced.

    Yields:
        What steps are taken through; it changes nothing about them.
    """
    if run is None or not cfg.executor.profile:
        yield lambda steps: steps
        return
    tracer = Tracer()
    try:
        yield _Profile(run, plan, state, watch, tracer)
    finally:
        tracer.stop()


class _Profile:
    """Traces once in a process, after its warm-up; or in the middle, if it has fewer steps to do.

    A trace never holds an evaluation or a checkpoint, since it ends before the first.
    """

    def __init__(
        self, run: RunDirectory, plan: Plan, state: TrainState, watch: StepTimer, tracer: Tracer
    ) -> None:
        self._run = run
        self._plan = plan
        self._state = state
        self._watch = watch
        self._tracer = tracer
        done = state.loop_state.step
        self._before = done + min(WARM_UP_STEPS, (plan.total_steps - done) // 2)
        self._is_over = False

    def __call__(self, steps: Steps) -> Iterator[list[StepMetrics]]:
        """Yield the steps."""
        iterator = iter(steps)
        while True:
            if not self._is_over and self._step() >= self._before and not self._tracer.is_running:
                self._before = self._step()
                self._tracer.start(self._run.profile)
            taken = next(iterator, None)
            if self._tracer.is_running:
                self._watch.leave_out()
                self._end_where_due()
            if taken is None:
                return
            yield taken

    def _end_where_due(self) -> None:
        step = self._step()
        if step - self._before < _STEPS and not self._plan.checkpoints_at(step):
            return
        self._is_over = True
        self._tracer.stop()
        path = self._run.profile / f"step-{self._before + 1:08d}.json.gz"
        try:
            self._tracer.write(path)
        except OSError as error:
            log.warning("the trace of a few steps could not be written: %s", error)
            return
        where = storage.join(self._run.address, path.parent.name, path.name)
        steps = f"steps {self._before + 1} to {step}"
        log.info("profile   %s: %s, to be opened at %s", steps, where, _VIEWER)

    def _step(self) -> int:
        return self._state.loop_state.step
