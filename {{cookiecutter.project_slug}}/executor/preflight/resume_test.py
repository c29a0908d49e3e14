"""Saves a training after a step, loads it into a new model, and compares what comes next."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import deserialize

from executor.checkpoints import checkpoint
from executor.devices.tensors import Tensor, write_tensors
from executor.training.divergence import diverged
from executor.training.loop_state import StepMetrics
from executor.training.trainer import Trainer
from utils import storage
from utils.errors import UserError, first_few

# After the saved one: the loss of the second shows whether the first changed the weights alike.
MORE_STEPS = 2


@dataclass(frozen=True)
class Saved:
    """A state that was written to a folder."""

    step: int
    size: int  # bytes of its files
    digests: dict[str, str]  # what each tensor and value is, by its place in the state

    def __str__(self) -> str:
        return f"{len(self.digests)} tensors and values, {_megabytes(self.size)}"


def take_steps(trainer: Trainer, steps: int) -> list[StepMetrics]:
    """Return what some steps measured; a DivergedError says if one is not finite."""
    loop_state, size = trainer.state.loop_state, trainer.cfg.train.batch_size
    measured: list[StepMetrics] = []
    with trainer.explaining(lambda: f"after step {loop_state.step}"):
        for _ in range(steps):
            measured += trainer.step(trainer.batches.at(loop_state.sample_offset, size))
    for metrics in measured:
        if metrics.skipped is not None:
            raise diverged(metrics, metrics.skipped)
    return measured


def save(trainer: Trainer, folder: Path) -> Saved:
    """Write a checkpoint."""
    content, step = trainer.state.state_dict(), trainer.state.loop_state.step
    checkpoint.save(folder / "checkpoint", step, content)
    files = (path for path in folder.rglob("*") if path.is_file())
    return Saved(step, sum(path.stat().st_size for path in files), _digests(content, folder))


def free_space(saved: Saved, keep: int, run: Path) -> str:
    """Say how much room there is for the checkpoints, or raise a UserError if there is not."""
    place = next(p for p in (run, *run.parents) if p.exists())
    free = shutil.disk_usage(place).free
    # Those that are kept, the best, one that is being written, and the exported weights.
    needed = saved.size * (keep + 3)
    found = f"{_megabytes(free)} at {storage.shown(str(place))}"
    if free < needed:
        raise UserError(f"{found}, but checkpoints need {_megabytes(needed)}. Make room.")
    return f"{found}; checkpoints need {_megabytes(needed)}"


def load(trainer: Trainer, saved: Saved, folder: Path) -> Trainer:
    """Build everything anew and bring it to where it was saved."""
    trainer.setup_model(checkpoint.load(folder / "checkpoint", saved.step))
    return trainer


def compare(trainer: Trainer, saved: Saved, folder: Path) -> str:
    """Compare a loaded state with the saved one; a UserError says if a single bit differs."""
    digests = _digests(trainer.state.state_dict(), folder)
    names = {**saved.digests, **digests}
    differ = [name for name in names if saved.digests.get(name) != digests.get(name)]
    if differ:
        raise UserError(
            f"{len(differ)} of {len(names)} tensors and values differ once they are loaded: "
            f"{first_few(differ)}. A run that is stopped would not go on as it was."
        )
    return f"{len(names)} tensors and values are the same once they are loaded"


def continue_alike(trainer: Trainer, expected: Sequence[StepMetrics]) -> str:
    """Take the steps that the saved state took; a UserError says if they give another loss."""
    found = take_steps(trainer, len(expected))
    is_exact = trainer.device.kind == "cpu" or trainer.cfg.run.deterministic
    # GPUs may add up in another order each time, unless run.deterministic forbids it.
    margin = 0.0 if is_exact else 1e-3
    for before, after in zip(expected, found, strict=True):
        if abs(before.loss - after.loss) > margin * abs(before.loss):
            raise UserError(
                f"step {before.step} gave loss {before.loss!r} and, from the loaded state, "
                f"{after.loss!r}. Something that the model, optimizer, schedule or loss keeps is "
                "not in its saved state, so a run that is stopped would not go on as it was."
            )
    return f"{len(expected)} more steps from both give the same losses"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _digests(state: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return for each tensor and value of a state a text that differs wherever a bit does."""
    tensors: dict[str, Tensor] = {}
    digests: dict[str, str] = {}
    _flatten(state, "", tensors, digests)
    path = folder / "compared.safetensors"
    write_tensors(path, tensors)
    for name, view in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
        digest = hashlib.sha256(view["data"]).hexdigest()
        digests[name] = f"{view['dtype']} {view['shape']} {digest}"
    return digests


def _flatten(value: Any, name: str, tensors: dict[str, Tensor], digests: dict[str, str]) -> None:
    if isinstance(value, Tensor):
        tensors[name] = value
    elif isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            _flatten(inner, f"{name}/{key}", tensors, digests)
    else:
        digests[name] = float(value).hex() if isinstance(value, float) else repr(value)
