"""Trains: from a configuration to a run directory that holds everything."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from typing import Any

from configs.schema import CFG
from dataloader.batches import Share, prefetched
from dataloader.build import load_split, open_source, training_batches
from executor.checkpoints import checkpoint
from executor.checkpoints.broadcast import broadcast_state
from executor.checkpoints.weights import best_weights, load_strictly, start_from
from executor.devices.device import Device
from executor.devices.oom import explain_out_of_memory, training_advice
from executor.distributed.barriers import exit_barrier, first_rank_first
from executor.distributed.process_group import process_group, report_lost_peers
from executor.distributed.world import World
from executor.inference.build import build_loss, build_task
from executor.inference.validator import Validator
from executor.runs.run_directory import RunDirectory, run_to_write, without_initial_weights
from executor.runs.source_facts import check_facts, keep_facts
from executor.runs.throughput import Throughput
from executor.training.announce import announce
from executor.training.build import build_state
from executor.training.callbacks import Outputs
from executor.training.divergence import DivergenceGuard
from executor.training.finish import is_complete, kept_values, measure_speed, write_results
from executor.training.loop_state import monitored
from executor.training.plan import Plan
from executor.training.step import TrainStep
from utils import storage
from utils.errors import StoppedError, UserError
from utils.logs import log
from utils.signals import StopSignals, stopping_at_once

_REPEAT_SECONDS = 5.0  # as in `executor.launch.processes`


class Trainer:
    """Trains one model: `Trainer(cfg).fit()`.

    The setup is a row of named steps, each of which `python main.py check` tries by itself.
    """

    def __init__(self, cfg: CFG, force: bool = False) -> None:
        """Read and write nothing yet; `force` continues a run even as another experiment."""
        self.cfg = cfg
        self.force = force
        self.run: RunDirectory | None = None  # in the processes that write nothing
        self._chunk_steps = 1

    def fit(self) -> dict[str, float]:
        """Train, evaluate and report; go on with a run that was stopped, keep a finished one as is.

        Returns:
            The values in `metrics.json`; nothing in a process that is not the first of several.

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
            if world.largest(self._is_finished() and not self.force and is_complete(self.run))[0]:
                exit_barrier(world)
                return {} if self.run is None else kept_values(self.run)
            parts = (self.plan, self.state, self.throughput, self.device)
            self.outputs = stack.enter_context(Outputs(self.run, self.cfg, *parts))
            stack.enter_context(report_lost_peers(world, lambda: self.state.loop_state.step))
            with self.explaining(lambda: f"after step {self.state.loop_state.step}"):
                self.train()
                values = self.finish()
            return values if world.is_first else {}

    def setup(self, world: World) -> None:
        """Set up everything, and try the model out before the first step."""
        self.device = Device(self.cfg, world)
        self.setup_data()
        with self.explaining(lambda: "before the first step"):
            self.setup_loss()
            self.setup_model(self._newest_checkpoint())
            if self.state.loop_state.step == 0:
                self.try_out()
        parts = (self.cfg, self.task, self.plan, self.state, self.device)
        announce(*parts, len(self.validation), self.origin)

    def explaining(self, when: Callable[[], str]) -> AbstractContextManager[None]:
        """Return the context in which a lack of memory ends with what to lower."""
        advice = partial(training_advice, self.cfg.train, self.cfg.data, self.device, self.task)
        return explain_out_of_memory(when, advice)

    def setup_data(self) -> None:
        """Find the training and the validation split, and plan the steps."""
        data, world = self.cfg.data, self.device.world
        self.source = open_source(data)
        check_facts(None if self.force else self.run, self.source.facts)
        self.task = build_task(self.cfg, self.source)
        load = partial(load_split, data, self.source, processes=world.local_size)
        self.use_data(*first_rank_first(world, lambda: [load("train"), load("validation")]))

    def use_data(self, training: Any, validation: Any) -> None:
        """Take the two splits, and plan the steps."""
        train = self.cfg.train
        if train.overfit_batches is not None:
            training = validation = training.first(train.overfit_batches * train.batch_size)
        self.training, self.validation = training, validation
        self.plan = Plan.of(train, self.cfg.run, len(training))
        self.throughput = Throughput(train.batch_size)

    def setup_loss(self) -> None:
        """Build the loss, the batches to learn from and what evaluates the model."""
        cfg, train, device = self.cfg, self.cfg.train, self.device
        self.loss = build_loss(cfg, self.source, device)
        seed, share = cfg.run.seed, Share(device.world.rank, device.world.size)
        data = (cfg.data, self.source, self.training)
        self.batches = training_batches(*data, train.batch_size, seed, share)
        self.validator = Validator(cfg, self.loss, self.validation, self.task, device)

    def setup_model(self, saved: dict[str, Any] | None) -> None:
        """Build model, optimizer, schedule and step, and bring them to where the run begins.

        1. A run that has checkpoints continues from the newest that is whole: `saved`.
        2. `train.init_from` gives the weights of another run.
        3. Otherwise the model starts as it was built: from its `weights` argument, or from scratch.
        """
        built = self.cfg if saved is None else without_initial_weights(self.cfg)
        self.state = build_state(built, self.source, self.task, self.plan.total_steps, self.device)
        init_from = self.cfg.train.init_from
        if saved is not None:
            try:
                self.state.load_state_dict(saved)
            except ValueError as error:
                where = storage.shown(storage.resolve(self.cfg.run.dir))
                raise UserError(
                    f"the checkpoint in {where} does not fit the model or the optimizer; has the "
                    f"code changed? Choose another run.dir to start anew.\n{error}"
                ) from error
            self.origin = f"continues after step {self.state.loop_state.step}"
        elif init_from is not None:
            start_from(self.state.model, storage.resolve(init_from))
            self.state.restart_average()
            self.origin = f"weights of {init_from}"
        else:
            self.origin = "new weights"
        self.step = TrainStep(self.cfg, self.state, self.task.io, self.loss, self.device)

    def try_out(self) -> None:
        """Evaluate two batches, so that a mistake in a model or metric shows before training."""
        monitored(self.validator.try_out(self.state.eval_model), self.cfg.train.monitor)

    def train(self) -> None:
        """Take steps until the plan is fulfilled, early stopping ends it or a signal arrives."""
        guard = DivergenceGuard(self.cfg.train, self.state, self._last_saved)
        self.outputs.start()
        keep_facts(self.run, self.source.facts)
        if self.cfg.train.on_divergence == "rewind" and self.state.loop_state.step == 0:
            self.outputs.save()
        with StopSignals(_REPEAT_SECONDS if self.device.world.size > 1 else 0.0) as signals:
            while not self._is_finished():  # again after a batch was skipped
                self._take_steps(guard, signals)
        self.outputs.wait()

    def _take_steps(self, guard: DivergenceGuard, signals: StopSignals) -> None:
        """Take steps to the end, or until a batch is skipped."""
        loop_state = self.state.loop_state
        positions = self.plan.chunks(loop_state, lambda: self._chunk_steps)
        make = lambda some: self.batches.at(some.start, len(some))  # noqa: E731
        with closing(prefetched(make, positions, self.cfg.data.workers)) as chunks:
            self.throughput.start()
            for chunk in chunks:
                taken = self.step(chunk)
                for metrics in taken:
                    if metrics.skipped is not None and not guard(metrics):
                        self.outputs.start()  # the state went back
                        return
                    self.outputs.step(metrics)
                if self.plan.evaluates_at(loop_state.step):
                    self._evaluate()
                self._save_where_due(signals, self.throughput.lap(len(taken)) / len(taken))
                if taken[-1].skipped is not None or loop_state.stops_early(self.cfg.train):
                    return

    def finish(self) -> dict[str, float]:
        """Evaluate the best weights on the whole validation split, and write what remains."""
        cfg, world, model, run = self.cfg, self.device.world, self.state.eval_model, self.run
        if self.state.loop_state.best_value is None:
            log.warning("%s never was a number; the last weights count", cfg.train.monitor)
        measure_speed(run, self.throughput, self.plan.batch_size, self.device)
        weights, step = broadcast_state(world, run and best_weights(run))
        load_strictly(model, weights, f"step {step}")
        evaluation = self.validator.evaluate_whole(model)
        if run is not None:
            write_results(run, weights, step, evaluation, self.task, cfg)
        exit_barrier(world)  # when all have written
        return evaluation.values

    def _is_finished(self) -> bool:
        loop_state = self.state.loop_state
        return loop_state.step >= self.plan.total_steps or loop_state.stops_early(self.cfg.train)

    def _evaluate(self) -> None:
        train, loop_state = self.cfg.train, self.state.loop_state
        with self.throughput.paused():
            values = self.validator.evaluate_part(self.state.eval_model)
            self.outputs.evaluation(values)
            loop_state.record_evaluation(values, train)
            self.state.after_evaluation(values[train.monitor])
            if loop_state.stops_early(train):
                log.info("stopped early: %s has not improved", train.monitor)

    def _save_where_due(self, signals: StopSignals, seconds: float) -> None:
        """Save if it is time to, or a signal asked to stop; a step took so many seconds lately."""
        step, fitting = self.state.loop_state.step, 1
        if not self.cfg.executor.profile:
            fitting = self.plan.fitting_steps(self.training.sample_bytes, seconds)
        # A signal reaches some processes a step before the others; they stop together.
        received, is_due, self._chunk_steps = self.device.world.largest(
            signals.received or 0, self.outputs.is_checkpoint_due(), fitting
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
        self.outputs.wait()  # for one that is still being written
        return self._newest_checkpoint()
