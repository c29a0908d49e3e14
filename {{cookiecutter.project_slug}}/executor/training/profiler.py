"""Writes a trace of a few steps into the run's folder: `executor.profile`."""

from executor.devices.trace import Tracer
from executor.runs.callback import Callback, RunInfo, Values
from executor.runs.run_directory import RunDirectory
from executor.runs.throughput import WARM_UP_STEPS, Throughput
from executor.training.plan import Plan
from utils import storage
from utils.logs import log

_STEPS = 5
_VIEWER = "https://ui.perfetto.dev"


class Profiler(Callback):
    """Traces once in a process, after its warm-up; or in the middle, if it has fewer steps to do.

    A trace never holds an evaluation or a checkpoint, since it ends before the first. While it is
    wanted steps are taken one at a time.
    """

    def __init__(self, run: RunDirectory, plan: Plan, throughput: Throughput) -> None:
        """Prepare; `throughput` does not count what is traced."""
        self._run = run
        self._plan = plan
        self._throughput = throughput
        self._tracer = Tracer()
        self._before: int | None = None

    def start(self, run: RunInfo) -> None:
        """Decide which steps to trace."""
        if self._before is None:
            self._before = run.step + min(WARM_UP_STEPS, (run.total_steps - run.step) // 2)
            self._begin_if_due(run.step)

    def step(self, step: int, values: Values) -> None:
        """Begin or end the trace where it is time to."""
        if not self._tracer.is_running:
            self._begin_if_due(step)
            return
        self._throughput.exclude_lap()
        first = (self._before or 0) + 1
        if step - first + 1 < _STEPS and not self._plan.checkpoints_at(step):
            return
        self._tracer.stop()
        path = self._run.profile / f"step-{first:08d}.json.gz"
        try:
            self._tracer.write(path)
        except OSError as error:
            log.warning("the trace of a few steps could not be written: %s", error)
            return
        where = storage.join(self._run.address, path.parent.name, path.name)
        log.info("profile   %s: steps %d to %d, to be opened at %s", where, first, step, _VIEWER)

    def end(self, status: str) -> None:
        """End a trace that was begun."""
        self._tracer.stop()

    def _begin_if_due(self, step: int) -> None:
        if step == self._before and step < self._plan.total_steps:
            self._tracer.start(self._run.profile)
