"""Tries out all that a training needs, on few samples, and writes nothing into the run's folder."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from configs.schema import CFG
from dataloader.build import load_split, open_source
from dataloader.cache import Decoded
from dataloader.sample import IGNORE_INDEX
from executor.checkpoints import checkpoint
from executor.devices.device import Device
from executor.preflight.checklist import Checks
from executor.preflight.resume_test import MORE_STEPS, Saved, Trial
from executor.runs.run_directory import RunDirectory, open_run
from executor.training.loop_state import StepMetrics
from utils import storage

_COUNTED_AT_ONCE = 256  # samples


def check(cfg: CFG, checks: Checks) -> None:
    """Return whether a training with this configuration would run, and would survive a stop.

    The splits are decoded whole, since that is what finds bad files; of the training there is one
    batch, and of the validation another.

    Args:
        cfg: The checked configuration.
        checks: Where what is found is told.
    """
    with ExitStack() as stack:
        run = checks.make("run.dir", lambda: _run_directory(cfg, stack), _standing)
        _check(cfg, checks, run)


def _check(cfg: CFG, checks: Checks, run: RunDirectory | None) -> None:
    device = checks.make("device", lambda: Device(cfg))
    source = checks.make("source", lambda: open_source(cfg), lambda s: ", ".join(s.class_names))
    if source is None:
        return
    names = source.class_names
    training, validation = (
        checks.make(f"{split} data", partial(load_split, cfg, source, split), _counted)
        for split in ("train", "validation")
    )
    if training is None or validation is None:
        return
    _tell_shares(checks, training, names)
    if device is None:
        return
    trial = checks.make(
        "loss and transforms",
        lambda: Trial(cfg, run, names, (training, validation), device),
        lambda _: _targets(cfg),
    )
    if trial is None:
        return
    with TemporaryDirectory(prefix="check-") as folder:
        saved = _until_saved(trial, checks, Path(folder))
        # Nothing here holds the first state any more: a large model may fit only once.
        if saved is not None:
            _once_loaded(trial, checks, Path(folder), *saved)


def _until_saved(
    trial: Trial, checks: Checks, folder: Path
) -> tuple[Saved, list[StepMetrics]] | None:
    """Begin a training, save it and let it go on; return what was saved and what came next."""
    state = checks.make("model", trial.new_state, trial.described)
    if state is None:
        return None
    begun = checks.make("training batch", lambda: trial.begin(state), lambda b: _measured(b[1]))
    checks.make("validation batch", lambda: trial.judge(state), _listed)
    if begun is None:
        return None
    step, _ = begun
    saved = checks.make("saved state", lambda: trial.save(state, folder))
    if saved is None:
        return None
    if trial.run is not None:
        checks.make("free disk space", partial(trial.room_for, saved, trial.run))
    after = checks.make("next steps", lambda: trial.take(state, step, MORE_STEPS), _losses)
    return None if after is None else (saved, after)


def _once_loaded(
    trial: Trial, checks: Checks, folder: Path, saved: Saved, after: list[StepMetrics]
) -> None:
    """Load what was saved into a new state, compare both and let that one go on as well."""
    fresh = checks.make("loaded state", lambda: trial.load(saved, folder), trial.described)
    if fresh is not None:
        checks.make("equal bits", lambda: trial.compare(saved, fresh, folder))
        checks.make("continuation", lambda: trial.goes_on(fresh, after))


def _run_directory(cfg: CFG, stack: ExitStack) -> RunDirectory:
    run = stack.enter_context(open_run(storage.resolve(cfg.run.dir)))
    run.check(cfg)
    return run


def _standing(run: RunDirectory) -> str:
    steps = checkpoint.steps(run.checkpoints)
    return f"{run.address}, {f'to be continued after step {steps[-1]}' if steps else 'a new run'}"


def _counted(decoded: Decoded) -> str:
    return f"{len(decoded)} samples, all decoded"


def _tell_shares(checks: Checks, decoded: Decoded, names: Sequence[str]) -> None:
    """Say which share of the training split's pixels each class has."""
    counts = np.zeros(IGNORE_INDEX + 1, dtype=np.int64)
    for start in range(0, len(decoded), _COUNTED_AT_ONCE):
        part = decoded.masks[start : start + _COUNTED_AT_ONCE]
        counts += np.bincount(part.ravel(), minlength=IGNORE_INDEX + 1)
    shares = counts / counts.sum()
    texts = [f"{name} {share:.2%}" for name, share in zip(names, shares, strict=False)]
    if counts[IGNORE_INDEX]:
        texts.append(f"ignored {shares[IGNORE_INDEX]:.2%}")
    checks.make("class shares", lambda: ", ".join(texts))
    absent = [name for name, number in zip(names, counts, strict=False) if not number]
    if absent:
        checks.warn("class shares", f"no training sample shows {', '.join(absent)}")


def _targets(cfg: CFG) -> str:
    transforms = ", ".join(transform.target for transform in cfg.data.transforms)
    return f"{cfg.train.loss.target}; {transforms or 'no transforms'}"


def _measured(values: Sequence[StepMetrics]) -> str:
    return f"loss {values[0].loss:.4f}, gradient norm {values[0].grad_norm:.4f}"


def _losses(values: Sequence[StepMetrics]) -> str:
    return "losses " + ", ".join(f"{value.loss:.4f}" for value in values)


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())
