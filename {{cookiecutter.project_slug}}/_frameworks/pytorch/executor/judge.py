"""Judges the model on the validation split while it trains, and remembers what was best."""

from typing import Any

import numpy as np
import torch
from torch import nn

from configs.schema import CFG
from dataloader.batches import Batch, evaluation_batches
from dataloader.cache import Decoded
from dataloader.source import IGNORE_INDEX
from evaluation.building import build_evaluators
from evaluation.samples import SamplePicker
from executor.device import Device
from executor.inference import evaluate_batches
from executor.state import Progress
from executor.step import Loss
from utils.errors import UserError

_TRIAL_BATCHES = 2


class Judge:
    """Evaluates models on one decoded split."""

    def __init__(
        self, cfg: CFG, loss: Loss, decoded: Decoded, class_names: tuple[str, ...], device: Device
    ) -> None:
        """Remember what is needed for an evaluation.

        Args:
            cfg: The `train` section's metrics, monitor and batch size are used.
            loss: As in training.
            decoded: The split.
            class_names: One for each class.
            device: Where models are.
        """
        self._cfg = cfg.train
        self._full = cfg
        self._loss = loss
        self._decoded = decoded
        self._class_names = class_names
        self._device = device

    def try_out(self, model: nn.Module) -> None:
        """Run two batches, so that a mistake in a model or metric shows before training starts.

        Raises:
            UserError: If the logits have another shape than the masks ask for, or the evaluation
                does not yield what `train.monitor` names.
        """
        batches = list(zip(range(_TRIAL_BATCHES), self._batches(1), strict=False))
        self._check_logits(model, batches[0][1])
        values = self._evaluate(model, [batch for _, batch in batches])
        # A class that the two batches lack may be missing from the values without being a mistake.
        if self._cfg.monitor not in values and not self._cfg.monitor.startswith("iou_"):
            raise UserError(
                f"train.monitor={self._cfg.monitor!r} is not among the values of an evaluation: "
                f"{', '.join(values)}. Choose one of them, or add a metric that yields it."
            )

    def during_training(self, model: nn.Module) -> dict[str, float]:
        """Return the values on the part of the split that `train.val_subsplits` leaves."""
        return self._evaluate(model, self._batches(self._cfg.val_subsplits))

    def finally_(self, model: nn.Module) -> tuple[dict[str, float], np.ndarray, SamplePicker]:
        """Return the values on the whole split, the confusion matrix and picked samples."""
        picker = SamplePicker(seed=self._full.run.seed, ignore_index=IGNORE_INDEX)
        confusion, evaluators = build_evaluators(self._full, self._class_names, IGNORE_INDEX)
        values = evaluate_batches(
            model,
            self._loss,
            self._batches(1),
            self._device,
            evaluators,
            picker,
            self._decoded.names,
        )
        return values, confusion.totals, picker

    def note(self, progress: Progress, values: dict[str, float]) -> bool:
        """Take note of an evaluation in the run's progress; return whether it is the best so far.

        Raises:
            UserError: If the values lack `train.monitor`.
        """
        if self._cfg.monitor not in values:
            raise UserError(
                f"train.monitor={self._cfg.monitor!r} is not among {', '.join(values)}."
            )
        value = values[self._cfg.monitor]
        sign = 1.0 if self._cfg.monitor_mode == "max" else -1.0
        stopping = self._cfg.early_stopping
        margin = 0.0 if stopping is None else stopping.min_delta
        best = progress.best_value
        if best is None or sign * (value - best) > margin:
            progress.best_value, progress.best_step, progress.waited = value, progress.step, 0
            return True
        progress.waited += 1
        return False

    def gives_up(self, progress: Progress) -> bool:
        """Tell whether early stopping ends the run."""
        stopping = self._cfg.early_stopping
        return stopping is not None and progress.waited >= stopping.patience

    def _evaluate(self, model: nn.Module, batches: Any) -> dict[str, float]:
        _, evaluators = build_evaluators(self._full, self._class_names, IGNORE_INDEX)
        return evaluate_batches(model, self._loss, batches, self._device, evaluators)

    def _batches(self, parts: int) -> Any:
        return evaluation_batches(self._decoded, self._cfg.batch_size, part=(0, parts))

    def _check_logits(self, model: nn.Module, batch: Batch) -> None:
        was_training = model.training
        model.eval()
        with torch.inference_mode(), self._device.autocast():
            shape = tuple(model(self._device.images(batch.images)).shape)
        model.train(was_training)
        count, height, width = batch.masks.shape
        expected = (count, len(self._class_names), height, width)
        if shape != expected:
            raise UserError(
                f"model.target={self._full.model.target} returned logits of shape {list(shape)} "
                f"for {count} images of {height}x{width}; expected {list(expected)}: [batch, "
                "classes, height, width]."
            )
