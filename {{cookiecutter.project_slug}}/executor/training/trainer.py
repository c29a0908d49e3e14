"""Trains: from a configuration to a run directory that holds everything."""

import logging
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from typing import Any

from configs.schema import CFG
from dataloader.batches import Batch, Share, prefetched
from dataloader.build import load_split, open_source, training_batches
from executor.checkpoints import checkpoint
from executor.checkpoints.broadcast import broadcast_state
from executor.checkpoints.weights import best_weights, load_strictly, start_from
from executor.devices.device import Device
from executor.devices.oom import explain_out_of_memory, training_advice
from executor.distributed.barriers import exit_barrier, first_rank_first
from executor.distributed.process_group import process_group, report_lost_peers
from executor.distributed.world import World
from executor.inference.build import build_loss
from executor.inference.validator import Validator
from executor.runs.run_directory import RunDirectory, run_to_write, without_initial_weights
from executor.runs.throughput import Throughput
from executor.training.announce import announce
from executor.training.build import build_state
from executor.training.callbacks import Outputs
from executor.training.divergence import DivergenceGuard
from executor.training.finish import measure_speed, write_results
from executor.training.loop_state import StepMetrics, monitored
from executor.training.plan import Plan
from executor.training.state import TrainState
from executor.training.step import TrainStep
from utils import storage
from utils.errors import StoppedError, UserError
from utils.logs import log
from utils.signals import StopSignals, stopping_at_once

_REPEAT_SECONDS = 5.0  # as in `executor.launch.processes`
# Small steps are taken several at once, since handing over a batch takes longer than making it: as
# many as fit into these bytes and seconds. Signals are looked at between two chunks.
_CHUNK_STEPS, _CHUNK_BYTES, _CHUNK_SECONDS = 32, 1 << 20, 0.25


class Trainer:
    """Trains one model: `Trainer(cfg).fit()`.

    The setup is a row of named steps, each of which `python main.py check` tries by itself.
    """

    device: Device
    plan: Plan
    state: TrainState
    step: TrainStep
    outputs: Outputs

    def __init__(self, cfg: CFG, force: bool = False) -> None:
        """Remember what to train; nothing is read or written yet.

        Args:
            cfg: The checked configuration.
            force: Continue a run even with settings that make it another experiment.
        """
        self.cfg = cfg
        self.force = force
        self.run: RunDirectory | None = None  # in the processes that write nothing
        self._chunk_steps = 1

    def fit(self) -> dict[str, float]:
        """Train, evaluate and report; continue where an earlier process of the run stopped.

        Returns:
            The values of the best weights on the validation split, as in `metrics.json`; nothing in
            a process that is not the first of several.

        Raises:
            UserError: If data, model or run directory are not what the configuration says.
            DivergedError: If loss or gradient became NaN or infinite, and `train.on_divergence` or
                `divergence_limit` lets the run end there.
            StoppedError: If a signal asked to stop; what was trained is in a checkpoint.
        """
        with ExitStack() as stack:
            stack.enter_context(stopping_at_once())
            world = stack.enter_context(process_group(self.cfg.executor, self.cfg.train))
            if world.is_first:
                self.run = stack.enter_context(run_to_write(self.cfg, self.force))
            else:
                log.setLevel(logging.WARNING)
            self.setup(world)
            outputs = Outputs(
                self.run, self.cfg, self.plan, self.state, self.throughput, self.device
            )
            self.outputs = stack.enter_context(outputs)
            stack.enter_context(report_lost_peers(world, lambda: self.state.loop_state.step))
            when = "after step {}".format
            advice = training_advice(self.cfg, self.device)
            with explain_out_of_memory(lambda: when(self.state.loop_state.step), advice):
                self.train()
                values = self.finish()
            return values if world.is_first else {}

    def setup(self, world: World) -> None:
        """Set up everything, and try the model out before the first step."""
        self.setup_device(world)
        self.setup_data()
        with explain_out_of_memory(
            lambda: "before the first step", training_advice(self.cfg, self.device)
        ):
            self.setup_loss()
            self.setup_model(self._newest_checkpoint())
            if self.state.loop_state.step == 0:
                self.try_out()
        announce(self.cfg, self.plan, self.state, self.device, len(self.validation), self.origin)

    def setup_device(self, world: World) -> None:
        """Choose the device."""
        self.device = Device(self.cfg, world)

    def setup_data(self) -> None:
        """Read the training and the validation split, and plan the steps."""
        source = open_source(self.cfg)
        self.class_names = source.class_names
        load = partial(load_split, self.cfg, source, processes=self.device.world.local_size)
        splits = ("train", "validation")
        loaded = first_rank_first(self.device.world, lambda: [load(name) for name in splits])
        self.use_data(*loaded)

    def use_data(self, training: Any, validation: Any) -> None:
        """Take decoded splits, and plan the steps."""
        train = self.cfg.train
        if train.overfit_batches is not None:
            training = validation = training.first(train.overfit_batches * train.batch_size)
        self.training, self.validation = training, validation
        self.plan = Plan.of(train, self.cfg.run, len(training))
        self.throughput = Throughput(train.batch_size)

    def setup_loss(self) -> None:
        """Build the loss, the batches to learn from and what evaluates the model."""
        cfg, device = self.cfg, self.device
        self.loss = build_loss(cfg, self.class_names, device)
        share = Share(device.world.rank, device.world.size)
        self.batches = training_batches(cfg, self.training, share)
        self.validator = Validator(cfg, self.loss, self.validation, self.class_names, device)

    def setup_model(self, saved: dict[str, Any] | None) -> None:
        """Build model, optimizer, schedule and step, and bring them to where the run begins.

        1. A run that has checkpoints continues from the newest that is whole.
        2. `train.init_from` gives the weights of another run.
        3. Otherwise the model starts as it was built: from its `weights` argument, or from scratch.

        Args:
            saved: The newest checkpoint; None: there is none.
        """
        built = self.cfg if saved is None else without_initial_weights(self.cfg)
        self.state = build_state(built, self.class_names, self.plan.total_steps, self.device)
        init_from = self.cfg.train.init_from
        if saved is not None:
            self._load(saved)
            self.origin = f"continues after step {self.state.loop_state.step}"
        elif init_from is not None:
            start_from(self.state.model, storage.resolve(init_from))
            self.state.restart_average()
            self.origin = f"weights of {init_from}"
        else:
            self.origin = "new weights"
        self.step = TrainStep(self.cfg, self.state, self.loss, self.device)

    def try_out(self) -> None:
        """Evaluate two batches, so that a mistake in a model or metric shows before training."""
        values, monitor = self.validator.try_out(self.state.eval_model), self.cfg.train.monitor
        # A class that the two batches lack may be missing from the values without being a mistake.
        if not monitor.startswith("iou_"):
            monitored(values, monitor)

    def train(self) -> None:
        """Take steps until the plan is fulfilled, early stopping ends it or a signal arrives."""
        guard = DivergenceGuard(self.cfg.train, self.state, self._last_saved)
        if self._is_finished():
            log.info("complete  nothing is left to train; raise train.epochs to go on")
        self.outputs.start()
        if self.cfg.train.on_divergence == "rewind" and self.state.loop_state.step == 0:
            self.outputs.save()
        repeats = _REPEAT_SECONDS if self.device.world.size > 1 else 0.0
        with StopSignals(repeats) as signals:
            while not self._is_finished():  # again after a batch was skipped
                self._take_steps(guard, signals)
        self.outputs.wait()

    def _take_steps(self, guard: DivergenceGuard, signals: StopSignals) -> None:
        """Take steps to the end, or until a batch is skipped."""
        loop_state = self.state.loop_state
        with closing(self._chunks()) as chunks:
            self.throughput.start()
            for chunk in chunks:
                taken = self.step(chunk)
                for metrics in taken:
                    if metrics.skipped is not None and not guard(metrics):
                        self.outputs.start()  # the state went back
                        return
                    self._record(metrics)
                if self.plan.evaluates_at(loop_state.step):
                    self._evaluate()
                seconds = self.throughput.lap(len(taken)) / len(taken)
                self._save_where_due(signals, seconds)
                if taken[-1].skipped is not None or loop_state.stops_early(self.cfg.train):
                    return

    def finish(self) -> dict[str, float]:
        """Evaluate the best weights on the whole validation split, and write what remains of a run.

        Returns:
            The values, which also stand in `metrics.json`.
        """
        world, model, run = self.device.world, self.state.eval_model, self.run
        speed = measure_speed(
            self.throughput, self.plan.batch_size, self.cfg.data.image_size, model, self.device
        )
        if run is not None and speed is not None:
            run.write_json(run.speed, asdict(speed))
        weights, step = broadcast_state(world, run and best_weights(run))
        load_strictly(model, weights, f"step {step}")
        evaluation = self.validator.evaluate_whole(model)
        if run is not None:
            write_results(run, self.cfg, weights, step, evaluation, self.class_names)
        exit_barrier(world)  # when all have written
        return evaluation.values

    def _is_finished(self) -> bool:
        loop_state = self.state.loop_state
        return loop_state.step >= self.plan.total_steps or loop_state.stops_early(self.cfg.train)

    def _chunks(self) -> Generator[Batch]:
        """Yield the samples of one or more steps at a time, made ahead by threads."""
        positions = self.plan.chunks(self.state.loop_state, lambda: self._chunk_steps)
        make = lambda some: self.batches.at(some.start, len(some))  # noqa: E731
        return prefetched(make, positions, self.cfg.data.workers)

    def _record(self, metrics: StepMetrics) -> None:
        """Give one step to the callbacks, and a row of the mean since the last one if it is due."""
        loop_state = self.state.loop_state
        values = {
            "loss": metrics.loss,
            "grad_norm": metrics.grad_norm,
            "learning_rate": metrics.learning_rate,
        }
        if metrics.skipped is None:
            loop_state.loss_sum += metrics.loss
            loop_state.loss_count += 1
        for callback in self.outputs.callbacks:
            callback.step(metrics.step, values)
        if self.plan.logs_at(metrics.step):
            values["loss"] = loop_state.take_mean_loss()
            for callback in self.outputs.callbacks:
                callback.log(metrics.step, values)

    def _evaluate(self) -> None:
        train, loop_state = self.cfg.train, self.state.loop_state
        with self.throughput.paused():
            values = self.validator.evaluate_part(self.state.eval_model)
            for callback in self.outputs.callbacks:
                callback.evaluation(loop_state.step, values)
            loop_state.record_evaluation(values, train)
            self.state.after_evaluation(values[train.monitor])
            if loop_state.stops_early(train):
                log.info("stopped early: %s has not improved", train.monitor)

    def _save_where_due(self, signals: StopSignals, seconds: float) -> None:
        """Save if it is time to, or a signal asked to stop.

        Args:
            signals: Those that this process received.
            seconds: How long a step took lately.
        """
        step = self.state.loop_state.step
        fitting = int(_CHUNK_SECONDS / max(seconds, 1e-9))
        most = _CHUNK_BYTES // (self.plan.batch_size * self.training.sample_bytes)
        # A signal reaches some processes a step before the others; they stop together.
        received, is_due, self._chunk_steps = self.device.world.largest(
            signals.received or 0,
            self.outputs.is_checkpoint_due(),
            1 if self.cfg.executor.profile else max(1, min(_CHUNK_STEPS, most, fitting)),
        )
        if self.plan.checkpoints_at(step) or is_due or received:
            with self.throughput.paused():
                self.outputs.save()
        if received:
            self.outputs.wait()
            exit_barrier(self.device.world)  # the others wait for the checkpoint
            raise StoppedError(
                f"stopped at step {step} of {self.plan.total_steps} with a checkpoint; "
                "the same command continues from there.",
                received,
            )

    def _newest_checkpoint(self) -> dict[str, Any] | None:
        """Return the newest checkpoint that is whole, read by the first process."""
        saved = None if self.run is None else checkpoint.load_newest(self.run.checkpoints)
        state: dict[str, Any] | None = broadcast_state(self.device.world, saved)
        return state

    def _last_saved(self) -> dict[str, Any] | None:
        """Return the newest checkpoint, also one that is still being written."""
        self.outputs.wait()
        return self._newest_checkpoint()

    def _load(self, saved: dict[str, Any]) -> None:
        try:
            self.state.load_state_dict(saved)
        except ValueError as error:
            raise UserError(
                f"the checkpoint in {storage.shown(storage.resolve(self.cfg.run.dir))} does not "
                "fit the model or the optimizer; has the code changed? Choose another run.dir to "
                f"start anew.\n{error}"
            ) from error
