"""Loads a trained run, to predict with arrays: `load("runs/default").predict(images)`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.schema import CFG
from dataloader.build import open_source
from dataloader.sample import Described, Fields
from evaluation.task import Task
from executor.checkpoints.weights import best_weights, load_strictly
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.inference.build import build_model, build_task
from executor.inference.forward import predict_answers, predict_probabilities
from executor.runs.run_directory import RunDirectory, open_existing_run, without_initial_weights
from executor.runs.source_facts import known_facts


@dataclass(frozen=True)
class Predictor:
    """A run's best weights, ready to predict, with the run's configuration."""

    cfg: CFG
    model: Model
    device: Device
    source: Described
    """What it says about the data: as the run remembers it, which needs no data."""
    task: Task
    step: int | None
    """The step of the weights; None where only the exported file is left."""

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return what the model predicts for arrays; their form is that of the task.

        See `Task.encode` and `Task.decode` in `evaluation/task.py`.

        Raises:
            UserError: If the arrays have another form.
        """
        return self.task.decode(self.predict_fields(self.task.encode(inputs)), inputs)

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float32 [N, classes, ...], as the model sees it.

        Args:
            inputs: As for `predict`.

        Raises:
            UserError: If the arrays have another form.
        """
        return self._batched(self.task.encode(inputs), predict_probabilities)["probabilities"]

    def predict_fields(self, fields: Fields) -> dict[str, np.ndarray]:
        """Return what the model predicts for samples, [N, ...] by name, from what it sees."""
        return self._batched(fields, predict_answers)

    def _batched(self, fields: Fields, function: Any) -> dict[str, np.ndarray]:
        """Return what a function makes of samples, taken as many at once as in training."""
        step = self.cfg.train.batch_size // self.cfg.train.accumulate
        count = len(next(iter(fields.values())))
        parts = [
            function(
                self.model,
                self.task.io,
                {name: array[start : start + step] for name, array in fields.items()},
                self.device,
            )
            for start in range(0, count, step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load(path: str, overrides: Sequence[str] = ()) -> Predictor:
    """Return a run's best weights in its model.

    Args:
        path: The run's folder, or its URL.
        overrides: `key.path=value` words laid over the run's configuration.

    Raises:
        UserError: If there is no such run, it has no weights yet, or its model's code has changed.
    """
    with open_existing_run(path) as run:
        return load_run(run, overrides)


def load_run(run: RunDirectory, overrides: Sequence[str] = ()) -> Predictor:
    """Return the best weights of a run whose folder is open; see `load`."""
    cfg = run.load_config(overrides)
    weights, step = best_weights(run)
    device, known = Device(cfg), known_facts(run)
    if any(word.startswith("data.source") for word in overrides):
        known = None  # another source, or one that says something else
    source: Described = known or open_source(cfg.data)
    task = build_task(cfg, source)
    model = build_model(without_initial_weights(cfg), source, task, device)
    load_strictly(model, weights, run.address)
    return Predictor(cfg, model, device, source, task, step)
