"""A few steps of a training, and the same steps after a stop: would it survive one?"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from safetensors import deserialize

from configs.schema import CFG
from dataloader.build import training_batches
from dataloader.cache import Decoded
from executor.checkpoints import checkpoint
from executor.checkpoints.weights import start_from
from executor.devices.device import Device
from executor.devices.oom import explain_out_of_memory, training_advice
from executor.devices.tensors import Tensor, count_parameters, write_tensors
from executor.inference.build import build_loss
from executor.inference.validator import Validator
from executor.runs.run_directory import RunDirectory, without_initial_weights
from executor.training.build import build_state
from executor.training.divergence import diverged
from executor.training.loop_state import StepMetrics
from executor.training.plan import Plan
from executor.training.state import TrainState
from executor.training.step import TrainStep
from utils import storage
from utils.errors import UserError

MORE_STEPS = 2
"""Steps after the saved one: the loss of the second shows whether the first changed the weights
alike."""

_MOST_SHOWN = 5


@dataclass(frozen=True)
class Saved:
    """A state that was written to a folder."""

    step: int
    size: int
    """Bytes of its files."""
    prints: dict[str, str]
    """What each tensor and value is, by its place in the state."""

    def __str__(self) -> str:
        return f"{len(self.prints)} tensors and values, {_megabytes(self.size)}"


class Trial:
    """A few steps of a training, and the same steps after a stop."""

    def __init__(
        self,
        cfg: CFG,
        run: RunDirectory | None,
        class_names: tuple[str, ...],
        data: tuple[Decoded, Decoded],
        device: Device,
    ) -> None:
        """Build what training builds beside its state.

        Args:
            cfg: The configuration.
            run: Where the training would write; only looked at. None: it could not.
            class_names: One for each class.
            data: The training and the validation split.
            device: Where it runs.
        """
        self._cfg = cfg
        self.run = run
        self._class_names = class_names
        self._device = device
        steps = Plan.of(cfg, len(data[0])).total_steps
        self._total_steps = max(steps, 1 + MORE_STEPS)  # schedules may refuse to go further
        self._batches = training_batches(cfg, data[0])
        self._loss = build_loss(cfg, class_names, device)
        few = _first(data[1], cfg.train.batch_size)
        self._judge = Validator(cfg, self._loss, few, class_names, device)

    def new_state(self) -> TrainState:
        """Return the state that a training begins with."""
        if self.run is not None and checkpoint.steps(self.run.checkpoints):
            return self._built(without_initial_weights(self._cfg))
        state = self._built(self._cfg)
        if self._cfg.train.init_from is not None:
            start_from(state.model, storage.resolve(self._cfg.train.init_from))
            state.restart_average()
        return state

    def begin(self, state: TrainState) -> tuple[TrainStep, list[StepMetrics]]:
        """Take one step; return what takes the next ones too, and what this one measured."""
        step = self._step_for(state)
        return step, self.take(state, step, 1)

    def take(self, state: TrainState, step: TrainStep, steps: int) -> list[StepMetrics]:
        """Take some steps and return what each measured.

        Raises:
            DivergedError: If a loss or gradient is not finite.
        """
        size = self._cfg.train.batch_size
        groups = (step(self._batches.at(state.loop_state.position, size)) for _ in range(steps))
        with explain_out_of_memory(
            lambda: f"after step {state.loop_state.step}", training_advice(self._cfg, self._device)
        ):
            measured = [values for taken in chain.from_iterable(groups) for values in taken]
        for values in measured:
            if values.left_out is not None:
                raise diverged(values, values.left_out)
        return measured

    def judge(self, state: TrainState) -> dict[str, float]:
        """Evaluate a state and let it take note of that, as training does."""
        self._judge.try_out(state.eval_model)
        values, _, _ = self._judge.evaluate_whole(state.eval_model)
        if self._cfg.train.monitor in values:  # a class that the batch lacks may not be
            state.loop_state.record_evaluation(values, self._cfg.train)
            state.after_evaluation(values[self._cfg.train.monitor])
        return values

    def save(self, state: TrainState, folder: Path) -> Saved:
        """Write a checkpoint."""
        content = state.state_dict()
        checkpoint.save(folder / "checkpoint", state.loop_state.step, content)
        files = (path for path in folder.rglob("*") if path.is_file())
        size = sum(path.stat().st_size for path in files)
        return Saved(state.loop_state.step, size, _prints(content, folder))

    def room_for(self, saved: Saved, run: RunDirectory) -> str:
        """Say how much room there is where the run writes.

        Raises:
            UserError: If its checkpoints do not fit.
        """
        place = next(p for p in (run.path, *run.path.parents) if p.exists())
        free = shutil.disk_usage(place).free
        # Those that are kept, the best, one that is being written, and the exported weights.
        needed = saved.size * (self._cfg.train.keep_checkpoints + 3)
        found = f"{_megabytes(free)} at {storage.shown(str(place))}"
        if free < needed:
            raise UserError(f"{found}, but checkpoints need {_megabytes(needed)}. Make room.")
        return f"{found}; checkpoints need {_megabytes(needed)}"

    def load(self, saved: Saved, folder: Path) -> TrainState:
        """Return a freshly built state that was brought to where another was saved."""
        state = self._built(without_initial_weights(self._cfg))
        state.load_state_dict(checkpoint.load(folder / "checkpoint", saved.step))
        return state

    def compare(self, saved: Saved, fresh: TrainState, folder: Path) -> str:
        """Compare a loaded state with the one that was saved.

        Raises:
            UserError: If a single bit differs.
        """
        prints = _prints(fresh.state_dict(), folder)
        names = {**saved.prints, **prints}
        other = [name for name in names if saved.prints.get(name) != prints.get(name)]
        if other:
            raise UserError(
                f"{len(other)} of {len(names)} tensors and values differ once they are loaded: "
                f"{_few(other)}. A run that is stopped would not go on as it was."
            )
        return f"{len(names)} tensors and values are the same once they are loaded"

    def goes_on(self, fresh: TrainState, expected: Sequence[StepMetrics]) -> str:
        """Take from a loaded state the steps that the saved one took.

        Raises:
            UserError: If they give another loss.
        """
        found = self.take(fresh, self._step_for(fresh), len(expected))
        on_cpu = str(self._device).startswith("cpu")
        # GPUs may add up in another order each time, unless run.deterministic forbids it.
        margin = 0.0 if on_cpu or self._cfg.run.deterministic else 1e-3
        for before, after in zip(expected, found, strict=True):
            if abs(before.loss - after.loss) > margin * abs(before.loss):
                raise UserError(
                    f"step {before.step} gave loss {before.loss!r} and, from the loaded state, "
                    f"{after.loss!r}. Something that the model, optimizer, schedule or loss keeps "
                    "is not in its saved state, so a run that is stopped would not go on as it was."
                )
        return f"{len(expected)} more steps from both give the same losses"

    def described(self, state: TrainState) -> str:
        """Say how large a model is."""
        total, trained = count_parameters(state.model)
        return f"{self._cfg.model.target}, {total:,} parameters, {trained:,} trained"

    def _step_for(self, state: TrainState) -> TrainStep:
        return TrainStep(self._cfg, state, self._loss, self._device)

    def _built(self, cfg: CFG) -> TrainState:
        return build_state(cfg, self._class_names, self._total_steps, self._device)


def _first(decoded: Decoded, samples: int) -> Decoded:
    return Decoded(decoded.images[:samples], decoded.masks[:samples], decoded.names[:samples])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _prints(state: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return for each tensor and value of a state a text that differs wherever a bit does."""
    tensors: dict[str, Tensor] = {}
    prints: dict[str, str] = {}
    _flatten(state, "", tensors, prints)
    path = folder / "compared.safetensors"
    write_tensors(path, tensors)
    for name, view in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
        digest = hashlib.sha256(view["data"]).hexdigest()
        prints[name] = f"{view['dtype']} {view['shape']} {digest}"
    return prints


def _flatten(value: Any, name: str, tensors: dict[str, Tensor], prints: dict[str, str]) -> None:
    if isinstance(value, Tensor):
        tensors[name] = value
    elif isinstance(value, dict):
        for key, inner in value.items():
            _flatten(inner, f"{name}/{key}", tensors, prints)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _flatten(inner, f"{name}/{index}", tensors, prints)
    else:
        prints[name] = float(value).hex() if isinstance(value, float) else repr(value)
