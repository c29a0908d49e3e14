"""Trains: from a configuration to a run directory that holds everything."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from configs.schema import CFG
from dataloader.batches import Share
from dataloader.loading import load_split, open_source, training_batches
from executor import checkpoint
from executor.building import build_loss, build_state
from executor.device import Device
from executor.facts import system_facts
from executor.finish import finish
from executor.fitting import Fitting
from executor.joining import joined, listening
from executor.judge import Judge
from executor.lock import claimed, locked
from executor.mishaps import WatchedSteps
from executor.normalising import normalisations
from executor.outputs import outputs
from executor.plan import Plan
from executor.profiling import profiling
from executor.run_directory import RunDirectory, opened, without_initial_weights
from executor.sharing import in_turn, leave_together, shared
from executor.shortage import enough_memory, training_advice
from executor.signals import stopping_at_once
from executor.speed import Stopwatch, measured
from executor.state import TrainState
from executor.step import TrainStep
from executor.tensors import count
from executor.ways import choose_way
from executor.weights import start_from
from executor.world import World
from utils import storage
from utils.errors import UserError
from utils.logs import log

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
    with stopping_at_once(), joined(cfg) as world:
        if not world.is_first:
            log.setLevel(logging.WARNING)
            _train(cfg, world, None)
            return {}
        with claimed(address), opened(address) as run, locked(run.path):
            run.check(cfg, force)
            return _train(cfg, world, run)


def _train(cfg: CFG, world: World, run: RunDirectory | None) -> dict[str, float]:
    """Train in one process; only the first has a folder."""
    device = Device(cfg, world)
    source = open_source(cfg)
    classes = source.class_names
    load = partial(load_split, cfg, source, processes=world.local_size)
    training, validation = in_turn(world, lambda: [load(name) for name in _SPLITS])
    plan = Plan.of(cfg, len(training.images))
    newest = partial(_newest, world, run)
    advice = training_advice(cfg, device)
    with enough_memory(lambda: "before the first step", advice):
        state, origin = _begun(cfg, classes, plan, device, newest())
        batches = training_batches(cfg, training, Share(world.rank, world.size))
        loss = build_loss(cfg, classes, device)
        judge = Judge(cfg, loss, validation, classes, device)
        if state.standing.step == 0:
            judge.try_out(state.judged)
        _announce(cfg, plan, state, device, (len(training.images), len(validation.images)), origin)
        train_step = TrainStep(cfg, state, loss, device)
        passes = (plan.total_steps - state.standing.step) * cfg.train.accumulate
        first = partial(batches.at, state.standing.position, cfg.train.batch_size)
        choose_way(cfg, state.standing, passes, device, lambda: train_step.time(first()))
    if run is not None:
        run.begin(cfg, {**device.facts(), "parameters": count(state.model)[0], **system_facts()})
    watch = Stopwatch(plan.batch_size)
    with (
        outputs(cfg, run, plan, state, watch) as opened_outputs,
        profiling(cfg, run, plan, state, watch) as profiled,
        listening(world, lambda: state.standing.step),
        enough_memory(lambda: f"after step {state.standing.step}", advice),
    ):
        steps = WatchedSteps(cfg, state, train_step, opened_outputs.saver, newest)
        fitting = Fitting(
            cfg, plan, state, judge, steps, batches, opened_outputs, world, device, watch, profiled
        )
        if fitting.is_over():
            log.info("complete  nothing is left to train; raise train.epochs to go on")
        fitting.fit()
        speed = measured(cfg, watch, state.judged, device)
        if run is not None and speed is not None:
            run.write_json(run.speed, asdict(speed))
        values = finish(cfg, run, state, judge, classes, world)
        leave_together(world)  # when all have written
        return values


def _newest(world: World, run: RunDirectory | None) -> dict[str, Any] | None:
    """Return the newest checkpoint of a run that is whole, read by the first process."""
    saved = checkpoint.load_newest(run.checkpoints) if run is not None else None
    state: dict[str, Any] | None = shared(world, saved)
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
        return state, f"continues after step {state.standing.step}"
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
    total, trained = count(state.model)
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
        log.info("norm      %s", _normalised(len(normalisations(state.model)), replicas))
    log.info("start     %s, seed %d", origin, cfg.run.seed)
    log.info("writes    %s", storage.shown(storage.resolve(cfg.run.dir)))


def _normalised(layers: int, replicas: int) -> str:
    """Say what `executor.sync_batch_norm` does."""
    if layers and replicas > 1:
        return f"{layers} batch normalisations see the batches of all {replicas}"
    why = "the whole batch is in one place" if layers else "the model has no batch normalisation"
    return f"executor.sync_batch_norm has nothing to do: {why}"
