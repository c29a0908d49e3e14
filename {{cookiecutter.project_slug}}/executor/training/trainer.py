"""Trains: from a configuration to a run directory that holds everything."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from configs.schema import CFG
from dataloader.batches import Share
from dataloader.build import load_split, open_source, training_batches
from executor.checkpoints import checkpoint
from executor.checkpoints.broadcast import broadcast_state
from executor.checkpoints.weights import start_from
from executor.devices.compile import choose_way
from executor.devices.device import Device
from executor.devices.oom import explain_out_of_memory, training_advice
from executor.devices.tensors import count_parameters
from executor.distributed.barriers import exit_barrier, first_rank_first
from executor.distributed.process_group import process_group, report_lost_peers
from executor.distributed.sync_batch_norm import batch_norms
from executor.distributed.world import World
from executor.inference.build import build_loss
from executor.inference.validator import Validator
from executor.runs.environment import system_facts
from executor.runs.lock import local_lock, remote_lock
from executor.runs.run_directory import RunDirectory, open_run, without_initial_weights
from executor.runs.throughput import StepTimer
from executor.training.build import build_state
from executor.training.divergence import DivergenceGuard
from executor.training.finish import finish, measured
from executor.training.fitting import Fitting
from executor.training.outputs import outputs
from executor.training.plan import Plan
from executor.training.profiler import profiling
from executor.training.state import TrainState
from executor.training.step import TrainStep
from utils import storage
from utils.errors import UserError
from utils.logs import log
from utils.signals import stopping_at_once

_SPLITS = ("train", "validation")


def train(cfg: CFG, force: bool = False) -> dict[str, float]:
    """Train, evaluate and report; continue where an earlier process of the same run stopped.

    Args:
        cfg: The checked configuration.
        force: Continue a run even with settings that make it another experiment.

    Returns:
        The values of the best weights on the validation split, as in `metrics.json`; nothing in a
        process that is not the first of several.

    Raises:
        UserError: If data, model or run directory are not what the configuration says.
        DivergedError: If loss or gradient became NaN or infinite, and `train.on_divergence` or
            `divergence_limit` lets the run end there.
        StoppedError: If a signal asked to stop; what was trained is in a checkpoint.
    """
    address = storage.resolve(cfg.run.dir)
    with stopping_at_once(), process_group(cfg) as world:
        if not world.is_first:
            log.setLevel(logging.WARNING)
            _train(cfg, world, None)
            return {}
        with remote_lock(address), open_run(address) as run, local_lock(run.path):
            run.check(cfg, force)
            return _train(cfg, world, run)


def _train(cfg: CFG, world: World, run: RunDirectory | None) -> dict[str, float]:
    """Train in one process; only the first has a folder."""
    device = Device(cfg, world)
    source = open_source(cfg)
    classes = source.class_names
    load = partial(load_split, cfg, source, processes=world.local_size)
    training, validation = first_rank_first(world, lambda: [load(name) for name in _SPLITS])
    plan = Plan.of(cfg, len(training.images))
    newest = partial(_newest, world, run)
    advice = training_advice(cfg, device)
    with explain_out_of_memory(lambda: "before the first step", advice):
        state, origin = _begun(cfg, classes, plan, device, newest())
        batches = training_batches(cfg, training, Share(world.rank, world.size))
        loss = build_loss(cfg, classes, device)
        judge = Validator(cfg, loss, validation, classes, device)
        if state.loop_state.step == 0:
            judge.try_out(state.eval_model)
        _announce(cfg, plan, state, device, (len(training.images), len(validation.images)), origin)
        train_step = TrainStep(cfg, state, loss, device)
        passes = (plan.total_steps - state.loop_state.step) * cfg.train.accumulate
        first = partial(batches.at, state.loop_state.position, cfg.train.batch_size)
        choose_way(cfg, state.loop_state, passes, device, lambda: train_step.time(first()))
    if run is not None:
        run.begin(
            cfg,
            {**device.facts(), "parameters": count_parameters(state.model)[0], **system_facts()},
        )
    watch = StepTimer(plan.batch_size)
    with (
        outputs(cfg, run, plan, state, watch) as opened_outputs,
        profiling(cfg, run, plan, state, watch) as profiled,
        report_lost_peers(world, lambda: state.loop_state.step),
        explain_out_of_memory(lambda: f"after step {state.loop_state.step}", advice),
    ):
        steps = DivergenceGuard(cfg, state, train_step, opened_outputs.saver, newest)
        fitting = Fitting(
            cfg, plan, state, judge, steps, batches, opened_outputs, world, device, watch, profiled
        )
        if fitting.is_over():
            log.info("complete  nothing is left to train; raise train.epochs to go on")
        fitting.fit()
        speed = measured(cfg, watch, state.eval_model, device)
        if run is not None and speed is not None:
            run.write_json(run.speed, asdict(speed))
        values = finish(cfg, run, state, judge, classes, world)
        exit_barrier(world)  # when all have written
        return values


def _newest(world: World, run: RunDirectory | None) -> dict[str, Any] | None:
    """Return the newest checkpoint of a run that is whole, read by the first process."""
    saved = checkpoint.load_newest(run.checkpoints) if run is not None else None
    state: dict[str, Any] | None = broadcast_state(world, saved)
    return state


def _begun(
    cfg: CFG,
    classes: Sequence[str],
    plan: Plan,
    device: Device,
    saved: dict[str, Any] | None,
) -> tuple[TrainState, str]:
    """Return the state where the run begins, and say where that is.

    1. A run that has checkpoints continues from the newest that is whole.
    2. `train.init_from` gives the weights of another run.
    3. Otherwise the model starts as it was built: from its `weights` argument, or from scratch.
    """
    built = cfg if saved is None else without_initial_weights(cfg)
    state = build_state(built, classes, plan.total_steps, device)
    if saved is not None:
        try:
            state.load_state_dict(saved)
        except ValueError as error:
            raise UserError(
                f"the checkpoint in {storage.shown(storage.resolve(cfg.run.dir))} does not fit the "
                "model or the optimizer; has the code changed? Choose another run.dir to start "
                f"anew.\n{error}"
            ) from error
        return state, f"continues after step {state.loop_state.step}"
    if cfg.train.init_from is not None:
        start_from(state.model, storage.resolve(cfg.train.init_from))
        state.restart_average()
        return state, f"weights of {cfg.train.init_from}"
    return state, "new weights"


def _announce(
    cfg: CFG,
    plan: Plan,
    state: TrainState,
    device: Device,
    counts: tuple[int, int],
    origin: str,
) -> None:
    """Say what was decided."""
    height, width = cfg.data.image_size
    total, trained = count_parameters(state.model)
    replicas = device.world.replicas
    micro = cfg.train.batch_size // cfg.train.accumulate // replicas
    one, several = ("process", "processes") if device.world.size == replicas else ("", "devices")
    log.info("device    %s", device)
    log.info("spread    %s", device.world)
    log.info(
        "data      %s: %d training, %d validation samples at %dx%d",
        cfg.data.source.target,
        *counts,
        height,
        width,
    )
    log.info(
        "model     %s: %s parameters, %s trained", cfg.model.target, f"{total:,}", f"{trained:,}"
    )
    log.info(
        "batch     %d = %d samples x %d accumulated x %d %s; %d steps",
        cfg.train.batch_size,
        micro,
        cfg.train.accumulate,
        replicas,
        several if replicas > 1 else one,
        plan.total_steps,
    )
    if cfg.executor.sync_batch_norm:
        log.info("norm      %s", _normalised(len(batch_norms(state.model)), replicas))
    log.info("start     %s, seed %d", origin, cfg.run.seed)
    log.info("writes    %s", storage.shown(storage.resolve(cfg.run.dir)))


def _normalised(layers: int, replicas: int) -> str:
    """Say what `executor.sync_batch_norm` does."""
    if layers and replicas > 1:
        return f"{layers} batch batch_norms see the batches of all {replicas}"
    why = "the whole batch is in one place" if layers else "the model has no batch normalisation"
    return f"executor.sync_batch_norm has nothing to do: {why}"
