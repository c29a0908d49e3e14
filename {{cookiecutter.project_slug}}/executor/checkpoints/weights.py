"""Weights that come from or go to other runs, without the rest of a run's state."""

import tempfile
from pathlib import Path
from typing import Any

from executor.checkpoints import checkpoint
from executor.devices.tensors import Model, Tensor, put_tensors, read_tensors, tensors_of
from executor.runs.run_directory import RunDirectory, open_existing_run
from utils import storage
from utils.errors import UserError, first_few
from utils.logs import log


def eval_weights(saved: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights that were evaluated: the moving average if there is one."""
    weights: dict[str, Tensor] = (saved["ema"] or saved)["model"]
    return weights


def best_weights(run: RunDirectory) -> tuple[dict[str, Tensor], int | None]:
    """Return a run's best weights and their step (None where only the exported file is left).

    Where its checkpoints are damaged, the exported file takes their place, with a warning. It is a
    UserError if the run has no weights yet, or all are damaged.
    """
    try:
        found = _best_checkpoint(run)
    except UserError as error:
        if not run.weights.is_file():
            raise
        log.warning("%s The weights in %s are used.", error, run.weights.name)
        found = None
    if found is None and run.weights.is_file():
        return _read(run.weights), None
    if found is None:
        raise UserError(f"{run.address} holds no checkpoint yet; let it train until the first.")
    return found


def _best_checkpoint(run: RunDirectory) -> tuple[dict[str, Tensor], int] | None:
    newest = checkpoint.load_newest(run.checkpoints)
    if newest is None:
        return None
    best = newest["loop_state"]["best_step"]
    if best is None or best == newest["loop_state"]["step"]:
        return eval_weights(newest), newest["loop_state"]["step"]
    try:
        return eval_weights(checkpoint.load(run.checkpoints, best)), best
    except (OSError, ValueError) as error:
        raise UserError(f"the best checkpoint, of step {best}, is damaged: {error}") from error


def load_strictly(model: Model, weights: dict[str, Tensor], origin: str) -> None:
    """Put weights into a model; a UserError if it does not have exactly these names and shapes."""
    own = tensors_of(model)
    problems = [
        *(f"{name} is missing" for name in own if name not in weights),
        *(f"{name} is unknown to the model" for name in weights if name not in own),
        *(
            f"{name} has shape {list(value.shape)}, the model's {list(own[name].shape)}"
            for name, value in weights.items()
            if name in own and own[name].shape != value.shape
        ),
    ]
    if problems:
        raise UserError(
            f"the weights of {origin} do not fit the model; its code or its arguments have "
            f"changed since they were saved: {first_few(problems)}."
        )
    put_tensors(model, weights)


def start_from(model: Model, path: str) -> None:
    """Fine-tune: put all weights whose name and shape fit into a model, and log which they are.

    `path` is a run's folder, whose best weights are taken, or a `.safetensors` file. It is a
    UserError if nothing can be loaded, or nothing fits.
    """
    if path.endswith(".safetensors"):
        weights = _of_file(path)
    else:
        with open_existing_run(path) as run:
            weights, _ = best_weights(run)
    own = tensors_of(model)
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise UserError(
            f"train.init_from={storage.shown(path)}: none of its {len(weights)} tensors fits the "
            f"model. It has {first_few(list(weights))}; the model has {first_few(list(own))}."
        )
    put_tensors(model, fitting)
    log.info("weights   %d of %d tensors from %s", len(fitting), len(own), storage.shown(path))
    resized = [k for k in own if k in weights and k not in fitting]
    for label, names in (
        ("with another shape, so left as they are", resized),
        ("not in it, so left as they are", [k for k in own if k not in weights]),
        ("not used", [k for k in weights if k not in own]),
    ):
        if names:
            log.info("          %d %s: %s", len(names), label, first_few(names))


def _of_file(path: str) -> dict[str, Tensor]:
    if not storage.is_remote(path):
        return _read(Path(path))
    with tempfile.TemporaryDirectory(prefix="weights-") as folder:
        copy = Path(folder, "weights.safetensors")
        storage.download(path, str(copy))
        return _read(copy)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{storage.shown(str(path))} cannot be read: {error}") from error
