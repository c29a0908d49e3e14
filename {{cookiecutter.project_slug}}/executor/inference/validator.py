"""Judges models: the one in training on the validation split, any other on any split."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from configs.schema import CFG
from dataloader.batches import Batch, Share, evaluation_batches
from dataloader.cache import Decoded
from dataloader.sample import IGNORE_INDEX
from evaluation.build import build_evaluators
from evaluation.samples import SamplePicker
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.inference.measuring import check_logits, evaluate_batches
from executor.training.loop_state import LoopState
from ops.loss_functions import Loss

_TRIAL_BATCHES = 2


class Validator:
    """Evaluates models on one decoded split."""

    def __init__(
        self, cfg: CFG, loss: Loss, decoded: Decoded, class_names: tuple[str, ...], device: Device
    ) -> None:
        """Remember what is needed for an evaluation.

        Args:
            cfg: The `train` section's metrics, monitor, `batch_size` and `accumulate` are used.
            loss: As in training.
            decoded: The split.
            class_names: One for each class.
            device: Where models are.
        """
        self._cfg = cfg
        # What fits into memory in training fits here.
        self._batch_size = cfg.train.batch_size // cfg.train.accumulate
        self._loss = loss
        self._decoded = decoded
        self._class_names = class_names
        self._device = device

    def try_out(self, model: Model) -> None:
        """Run two batches, so that a mistake in a model or metric shows before training starts.

        Raises:
            UserError: If the logits have another shape than the masks ask for, or the evaluation
                does not yield what `train.monitor` names.
        """
        batches = list(islice(self._batches(1), _TRIAL_BATCHES))
        check_logits(model, batches[0].images[:1], len(self._class_names), self._device)
        values = self._evaluate(model, batches)
        # A class that the two batches lack may be missing from the values without being a mistake.
        if not self._cfg.train.monitor.startswith("iou_"):
            LoopState().record_evaluation(values, self._cfg.train)

    def evaluate_part(self, model: Model) -> dict[str, float]:
        """Return the values on the part of the split that `train.val_subsplits` leaves."""
        return self._evaluate(model, self._batches(self._cfg.train.val_subsplits))

    def evaluate_whole(self, model: Model) -> tuple[dict[str, float], np.ndarray, SamplePicker]:
        """Return the values on the whole split, the confusion matrix and picked samples."""
        picker = SamplePicker(seed=self._cfg.run.seed, ignore_index=IGNORE_INDEX)
        confusion, evaluators = build_evaluators(self._cfg, self._class_names, IGNORE_INDEX)
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

    def _evaluate(self, model: Model, batches: Iterable[Batch]) -> dict[str, float]:
        _, evaluators = build_evaluators(self._cfg, self._class_names, IGNORE_INDEX)
        return evaluate_batches(model, self._loss, batches, self._device, evaluators)

    def _batches(self, parts: int) -> Iterator[Batch]:
        share = Share(self._device.world.rank, self._device.world.size)
        return evaluation_batches(self._decoded, self._batch_size, (0, parts), share)
