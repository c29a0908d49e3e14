"""Tries out all that a training needs, on few samples, and writes nothing into the run's folder."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from configs.schema import CFG, Data
from dataloader.build import load_split, open_source
from dataloader.decoded import Decoded
from dataloader.sample import Field, Source
from executor.checkpoints import checkpoint
from executor.devices.device import Device
from executor.devices.tensors import count_parameters
from executor.inference.build import build_task
from executor.preflight import resume_test
from executor.preflight.checklist import Checks
from executor.preflight.resume_test import MORE_STEPS
from executor.runs.run_directory import RunDirectory, open_run
from executor.training.loop_state import StepMetrics
from executor.training.trainer import Trainer
from utils import storage

_AT_ONCE = 256  # samples


def check(cfg: CFG, checks: Checks) -> None:
    """Check whether a training with this configuration would run, and would survive a stop.

    The splits are decoded whole, since that is what finds bad files; of the training there is one
    batch, and of the validation another.
    """
    trainer = Trainer(cfg)
    with ExitStack() as stack, TemporaryDirectory(prefix="check-") as folder:
        run = checks.make("run.dir", lambda: _run_directory(trainer, stack), _progress)
        if _check_data(trainer, checks):
            _check_training(trainer, checks, run, Path(folder))


def _check_data(trainer: Trainer, checks: Checks) -> bool:
    """Check device and data; return whether there is anything to train with."""
    cfg = trainer.cfg
    device = checks.make("device", lambda: _device(trainer))
    source = checks.make(
        "source", lambda: open_source(cfg.data), lambda source: _fields_of(source.spec)
    )
    if source is None or checks.make("task", lambda: _use(trainer, source)) is None:
        return False
    counted = lambda decoded: f"{len(decoded)} samples, all decoded"  # noqa: E731
    training, validation = (
        checks.make(f"{name} data", partial(_decoded, cfg.data, source, name), counted)
        for name in ("train", "validation")
    )
    if training is None or validation is None:
        return False
    _check_samples(trainer, checks, training)
    trainer.use_data(training, validation.first(cfg.train.batch_size))
    # Schedules may refuse to go further than a plan.
    steps = max(trainer.plan.total_steps, 1 + MORE_STEPS)
    trainer.plan = replace(trainer.plan, total_steps=steps)
    return device is not None


def _check_training(
    trainer: Trainer, checks: Checks, run: RunDirectory | None, folder: Path
) -> None:
    """Begin a training, save it and let it go on; and let what was saved go on as well."""
    if checks.make("loss and transforms", lambda: _set_up_loss(trainer)) is None:
        return
    if checks.make("model", lambda: _begin(trainer, run)) is None:
        return
    first = checks.make("training batch", lambda: resume_test.take_steps(trainer, 1), _measured)
    checks.make("validation batch", lambda: _evaluate(trainer), _listed)
    if first is None:
        return
    saved = checks.make("saved state", lambda: resume_test.save(trainer, folder))
    if saved is None:
        return
    if run is not None:
        keep = trainer.cfg.train.keep_checkpoints
        checks.make("free disk space", lambda: resume_test.free_space(saved, keep, run.path))
    after = checks.make("next steps", lambda: resume_test.take_steps(trainer, MORE_STEPS), _losses)
    if after is None:
        return
    del trainer.state, trainer.step  # a large model may fit only once
    if checks.make("loaded state", lambda: resume_test.load(trainer, saved, folder), _described):
        checks.make("equal bits", lambda: resume_test.compare(trainer, saved, folder))
        checks.make("continuation", lambda: resume_test.continue_alike(trainer, after))


def _device(trainer: Trainer) -> str:
    trainer.device = Device(trainer.cfg)
    return str(trainer.device)


def _begin(trainer: Trainer, run: RunDirectory | None) -> str:
    """Build what the training begins with; a run that is continued reads no initial weights."""
    trainer.setup_model(None if run is None else checkpoint.load_newest(run.checkpoints))
    return _described(trainer)


def _evaluate(trainer: Trainer) -> dict[str, float]:
    """Evaluate a batch and let the state take note of that, as training does."""
    state, train = trainer.state, trainer.cfg.train
    trainer.try_out()
    values = trainer.validator.evaluate_whole(state.eval_model).values
    state.loop_state.record_evaluation(values, train)
    state.after_evaluation(values[train.monitor])
    return values


def _run_directory(trainer: Trainer, stack: ExitStack) -> RunDirectory:
    run = stack.enter_context(open_run(storage.resolve(trainer.cfg.run.dir)))
    run.check(trainer.cfg)
    storage.try_writing(storage.resolve(trainer.cfg.run.dir))
    return run


def _progress(run: RunDirectory) -> str:
    steps = checkpoint.steps(run.checkpoints)
    return f"{run.address}, {f'to be continued after step {steps[-1]}' if steps else 'a new run'}"


def _use(trainer: Trainer, source: Source) -> str:
    trainer.source, trainer.task = source, build_task(trainer.cfg, source)
    return f"{trainer.cfg.task.target}, samples {trainer.task}"


def _fields_of(spec: Mapping[str, Field]) -> str:
    return ", ".join(f"{name} {f.dtype} {list(f.shape)}" for name, f in spec.items())


def _decoded(data: Data, source: Source, name: str) -> Decoded:
    """Return a split of which every sample was read."""
    return load_split(data, source, name).without_bad_samples()


def _check_samples(trainer: Trainer, checks: Checks, training: Decoded) -> None:
    """Let the task look at all training samples, some at a time."""
    everything = range(len(training))
    parts = (everything[start : start + _AT_ONCE] for start in everything[::_AT_ONCE])
    batches = (training.take(np.array(part)) for part in parts)
    for verdict, what, found in trainer.task.check(batches):
        checks.add(what, verdict, found)


def _set_up_loss(trainer: Trainer) -> str:
    trainer.setup_loss()
    transforms = ", ".join(transform.target for transform in trainer.cfg.data.transforms)
    return f"{trainer.cfg.train.loss.target}; {transforms or 'no transforms'}"


def _described(trainer: Trainer) -> str:
    total, trained = count_parameters(trainer.state.model)
    return f"{trainer.cfg.model.target}, {total:,} parameters, {trained:,} trained"


def _measured(metrics: Sequence[StepMetrics]) -> str:
    return f"loss {metrics[0].loss:.4f}, gradient norm {metrics[0].grad_norm:.4f}"


def _losses(metrics: Sequence[StepMetrics]) -> str:
    return "losses " + ", ".join(f"{one.loss:.4f}" for one in metrics)


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())
