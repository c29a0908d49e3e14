"""Trains: from a configuration to a run directory that holds everything."""

from contextlib import closing

from configs.schema import CFG
from dataloader.loading import load_split, open_source, training_batches
from executor import checkpoint
from executor.building import build_loss, build_state
from executor.device import Device
from executor.facts import system_facts
from executor.finish import finish
from executor.fitting import Fitting
from executor.judge import Judge
from executor.lock import claimed, locked
from executor.mishaps import WatchedSteps
from executor.plan import Plan
from executor.run_directory import RunDirectory, opened, without_initial_weights
from executor.saver import Saver
from executor.signals import stopping_at_once
from executor.state import TrainState
from executor.step import TrainStep
from executor.telling import told
from executor.tensors import count
from executor.weights import start_from
from utils import storage
from utils.errors import UserError
from utils.logs import log


def train(cfg: CFG, force: bool = False) -> dict[str, float]:
    """Train, evaluate and report; continue where an earlier process of the same run stopped.

    Args:
        cfg: The checked configuration.
        force: Continue a run even with settings that make it another experiment.

    Returns:
        The values of the best weights on the validation split, as in `metrics.json`.

    Raises:
        UserError: If data, model or run directory are not what the configuration says.
        DivergedError: If loss or gradient became NaN or infinite, and `train.on_divergence` or
            `divergence_limit` lets the run end there.
        StoppedError: If a signal asked to stop; what was trained is in a checkpoint.
    """
    address = storage.resolve(cfg.run.dir)
    with stopping_at_once(), claimed(address), opened(address) as run, locked(run.path):
        run.check(cfg, force)
        return _train(cfg, run)


def _train(cfg: CFG, run: RunDirectory) -> dict[str, float]:
    device = Device(cfg)
    source = open_source(cfg)
    classes = source.class_names
    training, validation = (load_split(cfg, source, name) for name in ("train", "validation"))
    plan = Plan.of(cfg, len(training.images))
    restarted = bool(checkpoint.steps(run.checkpoints))
    built = without_initial_weights(cfg) if restarted else cfg
    state = build_state(built, classes, plan.total_steps, device)
    batches = training_batches(cfg, training)
    loss = build_loss(cfg, classes, device)
    judge = Judge(cfg, loss, validation, classes, device)
    origin = _restore(cfg, run, state)
    if state.standing.step == 0:
        judge.try_out(state.judged)
    run.begin(cfg, {**device.facts(), "parameters": count(state.model)[0], **system_facts()})
    _announce(cfg, plan, state, device, (len(training.images), len(validation.images)), origin)
    with told(cfg, run, plan, state) as tell, closing(Saver(cfg, run)) as saver:
        run.publish()
        take_steps = WatchedSteps(cfg, run, state, TrainStep(cfg, state, loss, device), saver)
        fitting = Fitting(cfg, run, plan, state, judge, take_steps, batches, saver, tell)
        if fitting.is_over():
            log.info("complete  nothing is left to train; raise train.epochs to go on")
        fitting.fit()
        values = finish(cfg, run, state, judge, classes)
    run.publish()
    return values


def _restore(cfg: CFG, run: RunDirectory, state: TrainState) -> str:
    """Bring the state to where the run begins and say where that is.

    1. A run that has checkpoints continues from the newest that is whole.
    2. `train.init_from` gives the weights of another run.
    3. Otherwise the model starts as it was built: from its `weights` argument, or from scratch.
    """
    saved = checkpoint.load_newest(run.checkpoints)
    if saved is not None:
        try:
            state.load_state_dict(saved)
        except ValueError as error:
            raise UserError(
                f"the checkpoint in {run.address} does not fit the model or the "
                f"optimizer; has the code changed? Choose another run.dir to start anew.\n{error}"
            ) from error
        return f"continues after step {state.standing.step}"
    if cfg.train.init_from is not None:
        start_from(state.model, storage.resolve(cfg.train.init_from))
        state.restart_average()
        return f"weights of {cfg.train.init_from}"
    return "new weights"


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
    micro = cfg.train.batch_size // cfg.train.accumulate
    log.info("device    %s", device)
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
        "batch     %d = %d samples x %d accumulated x 1 device; %d steps",
        cfg.train.batch_size,
        micro,
        cfg.train.accumulate,
        plan.total_steps,
    )
    log.info("start     %s, seed %d", origin, cfg.run.seed)
    log.info("writes    %s", storage.shown(storage.resolve(cfg.run.dir)))
