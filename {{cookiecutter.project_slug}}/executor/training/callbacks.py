"""What a training calls and writes while it runs: callbacks, checkpoints, and how it ended."""

from contextlib import suppress
from typing import Any

from configs.loading import to_yaml
from configs.schema import CFG, Component
from executor.checkpoints.checkpointer import Checkpointer
from executor.devices.device import Device
from executor.devices.tensors import count_parameters
from executor.runs.callback import Callback, RunInfo
from executor.runs.environment import system_facts
from executor.runs.metrics_logger import MetricsLogger
from executor.runs.progress import Progress
from executor.runs.run_directory import RunDirectory
from executor.runs.status import StatusFile
from executor.runs.tensorboard import TensorBoard
from executor.runs.throughput import Throughput
from executor.training.loop_state import StepMetrics
from executor.training.plan import Plan
from executor.training.profiler import Profiler
from executor.training.state import TrainState
from utils.errors import DivergedError, StoppedError, UserError
from utils.names import build

__all__ = ["Callback", "Outputs", "RunInfo"]

# How a run ended, by the error that ended it.
_STATUS = {StoppedError: "stopped", DivergedError: "diverged", BaseException: "failed"}


class Outputs:
    """What a training writes; nothing in the processes that have no run."""

    def __init__(
        self,
        run: RunDirectory | None,
        cfg: CFG,
        plan: Plan,
        state: TrainState,
        throughput: Throughput,
        device: Device,
    ) -> None:
        """Prepare; nothing is written yet, and never anything if `run` is None."""
        self._run = run
        self._cfg = cfg
        self._plan = plan
        self._state = state
        self._device = device
        self._callbacks: list[Callback] = []
        self._checkpointer: Checkpointer | None = None
        if run is None:
            return
        train = cfg.train
        self._checkpointer = Checkpointer(run, train.keep_checkpoints, train.checkpoint_minutes)
        self._callbacks += [
            MetricsLogger(run, plan.epoch),
            *([TensorBoard(run.events, throughput)] if cfg.run.tensorboard else []),
            Progress(train.monitor, throughput),
            StatusFile(run.status, train.monitor, throughput, lambda: state.loop_state.best_value),
            *([Profiler(run, plan, throughput)] if cfg.executor.profile else []),
            *map(_build_callback, cfg.run.callbacks),
        ]

    def __enter__(self) -> "Outputs":
        """Write what describes the run: its configuration, and what it runs on."""
        if self._run is not None:
            parameters = {"parameters": count_parameters(self._state.model)[0]}
            facts = {**self._device.facts(), **parameters, **system_facts()}
            self._run.begin(to_yaml(self._cfg), facts)
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        """Let the writer of checkpoints come to its end, and say how the run ended."""
        if self._run is None or self._checkpointer is None:
            return
        self._checkpointer.close()
        status = "finished"
        if error is not None:
            status = next(text for kind, text in _STATUS.items() if isinstance(error, kind))
        # An error that ends the run says more than one that comes after it.
        with suppress(*(() if error is None else (UserError,))):
            for callback in self._callbacks:
                callback.end(status)
            self._run.publish()

    def start(self) -> None:
        """Say that training begins, or goes on from the state."""
        if self._run is None:
            return
        info = RunInfo(
            folder=str(self._run.path),
            config=self._cfg.model_dump(mode="json"),
            step=self._state.loop_state.step,
            total_steps=self._plan.total_steps,
            batch_size=self._plan.batch_size,
            device=str(self._device),
            parameters=count_parameters(self._state.model)[0],
        )
        for callback in self._callbacks:
            callback.start(info)
        self._run.publish()

    def step(self, metrics: StepMetrics) -> None:
        """Give one step to the callbacks, and a row of the mean since the last one if it is due."""
        loop_state = self._state.loop_state
        values = {name: getattr(metrics, name) for name in ("loss", "grad_norm", "learning_rate")}
        if metrics.skipped is None:
            loop_state.loss_sum += metrics.loss
            loop_state.loss_count += 1
        for callback in self._callbacks:
            callback.step(metrics.step, values)
        if self._plan.logs_at(metrics.step):
            values["loss"] = loop_state.take_mean_loss()
            for callback in self._callbacks:
                callback.log(metrics.step, values)

    def evaluation(self, values: dict[str, float]) -> None:
        """Give the values of an evaluation to the callbacks."""
        for callback in self._callbacks:
            callback.evaluation(self._state.loop_state.step, values)

    def is_checkpoint_due(self) -> bool:
        """Return whether `train.checkpoint_minutes` have passed since the last checkpoint."""
        return self._checkpointer is not None and self._checkpointer.is_due()

    def save(self) -> None:
        """Begin to write a checkpoint; all processes collect the state, and the first writes it."""
        loop_state, state = self._state.loop_state, self._state.state_dict()
        if self._run is None or self._checkpointer is None:
            return
        for callback in self._callbacks:
            callback.checkpoint(loop_state.step, str(self._run.checkpoints))
        self._checkpointer.save(loop_state.step, loop_state.best_step, state)

    def wait(self) -> None:
        """Return when the last checkpoint is on disk."""
        if self._checkpointer is not None:
            self._checkpointer.wait()


def _build_callback(component: Component) -> Callback:
    callback: Any = build(component.target, component.arguments)
    if not isinstance(callback, Callback):
        raise UserError(
            f"run.callbacks: {component.target} made a {type(callback).__name__}; it must make "
            "a Callback (derive from executor.training.callbacks:Callback)."
        )
    return callback
