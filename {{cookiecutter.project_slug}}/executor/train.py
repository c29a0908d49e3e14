"""Trains: from a configuration to a run directory that holds everything."""

from collections.abc import Generator
from contextlib import closing

from configs.schema import CFG
from dataloader.batches import Batch, TrainingBatches, prefetched
from dataloader.loading import load_split, open_source, training_batches
from executor import checkpoint
from executor.building import build_loss, build_state
from executor.device import Device
from executor.facts import system_facts
from executor.finish import finish
from executor.judge import Judge
from executor.mishaps import WatchedSteps
from executor.plan import Plan
from executor.recorder import Recorder
from executor.run_directory import RunDirectory, without_initial_weights
from executor.signals import StopSignals
from executor.standing import Standing
from executor.state import TrainState
from executor.step import TrainStep
from executor.tensors import count
from executor.values import StepValues
from executor.weights import start_from
from utils import storage
from utils.errors import StoppedError, UserError
from utils.logs import log

# Small batches are made several at once: each alone is quicker made than handed over.
_GROUP_BYTES, _GROUP_STEPS = 1 << 20, 32


def train(cfg: CFG) -> dict[str, float]:
    """Train, evaluate and report; continue where an earlier process of the same run stopped.

    Args:
        cfg: The checked configuration.

    Returns:
        The values of the best weights on the validation split, as in `metrics.json`.

    Raises:
        UserError: If data, model or run directory are not what the configuration says.
        DivergedError: If loss or gradient became NaN or infinite, and `train.on_divergence` or
            `divergence_limit` lets the run end there.
        StoppedError: If a signal asked to stop; a checkpoint was written.
    """
    run = RunDirectory(storage.resolve(cfg.run.dir))
    run.check(cfg)
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
    take_steps = WatchedSteps(cfg, run, state, TrainStep(cfg, state, loss, device))
    _fit(cfg, run, plan, state, judge, take_steps, batches)
    return finish(cfg, run, state, judge, classes)


def _fit(
    cfg: CFG,
    run: RunDirectory,
    plan: Plan,
    state: TrainState,
    judge: Judge,
    take_steps: WatchedSteps,
    batches: TrainingBatches,
) -> None:
    """Take steps until the plan is fulfilled, early stopping ends it or a signal arrives."""
    if _is_over(cfg, plan, state.standing):
        log.info("complete  nothing is left to train; raise train.epochs to go on")
        return
    with StopSignals() as signals:
        while not _is_over(cfg, plan, state.standing):  # again after the state has gone back
            _go_on(cfg, run, plan, state, judge, take_steps, batches, signals)


def _is_over(cfg: CFG, plan: Plan, standing: Standing) -> bool:
    """Tell whether nothing is left to train."""
    return standing.step >= plan.total_steps or standing.gives_up(cfg.train)


def _go_on(
    cfg: CFG,
    run: RunDirectory,
    plan: Plan,
    state: TrainState,
    judge: Judge,
    take_steps: WatchedSteps,
    batches: TrainingBatches,
    signals: StopSignals,
) -> None:
    """Take steps from where the state is to the end, or to where it goes back to a checkpoint."""
    standing = state.standing
    recorder = Recorder(cfg, run, plan, standing.step)
    with closing(recorder), closing(_ahead(cfg, plan, standing, batches)) as ahead:
        for taken in take_steps(ahead):
            for values in taken:
                _record(values, standing, plan, recorder)
            step = standing.step
            if plan.evaluates_at(step):
                judged = judge.evaluate_part(state.judged)
                recorder.evaluation(step, judged)
                standing.judge(judged, cfg.train)
                state.after_evaluation(judged[cfg.train.monitor])
            if plan.checkpoints_at(step) or signals.received:
                recorder.write()
                checkpoint.save(run.checkpoints, step, state.state_dict())
                checkpoint.prune(run.checkpoints, cfg.train.keep_checkpoints, standing.best_step)
            if signals.received:
                raise StoppedError(
                    f"stopped at step {step} of {plan.total_steps} with a checkpoint; "
                    "the same command continues from there.",
                    signals.received,
                )
            if standing.gives_up(cfg.train):
                log.info("stopped early: %s has not improved", cfg.train.monitor)
                return


def _record(values: StepValues, standing: Standing, plan: Plan, recorder: Recorder) -> None:
    """Show one step, and write a row of the mean since the last one where one is due."""
    if values.left_out is None:
        standing.loss_sum += values.loss
        standing.loss_count += 1
    recorder.step(values.step, values.loss)
    if plan.logs_at(values.step):
        row = {"loss": standing.take_mean_loss(), "grad_norm": values.grad_norm}
        recorder.training(values.step, {**row, "learning_rate": values.learning_rate})


def _ahead(cfg: CFG, plan: Plan, standing: Standing, batches: TrainingBatches) -> Generator[Batch]:
    """Yield the remaining samples, made ahead by threads where there are workers.

    Each item holds those of one step, or of several steps where they are small.
    """
    height, width = cfg.data.image_size
    batch_bytes = plan.batch_size * height * width * 4  # three channels and a mask
    most = min(max(_GROUP_BYTES // batch_bytes, 1), _GROUP_STEPS)
    return prefetched(
        lambda positions: batches.at(positions.start, len(positions)),
        plan.groups(standing, most),
        cfg.data.workers,
    )


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
                f"the checkpoint in {storage.shown(str(run.path))} does not fit the model or the "
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
