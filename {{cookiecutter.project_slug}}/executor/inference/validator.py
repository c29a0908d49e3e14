"""Evaluates models: the one in training on the validation split, any other on any split."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from configs.schema import Train
from dataloader.batches import Batch, Share, evaluation_batches
from dataloader.cache import Decoded
from dataloader.sample import IGNORE_INDEX
from evaluation.build import build_evaluators
from evaluation.samples import SamplePicker
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.inference.forward import CLASS_AXIS, measuring, shape_of_logits
from ops.loss_functions import Loss
from utils.errors import UserError

_TRIAL_BATCHES = 2


class Evaluation(NamedTuple):
    """What the evaluation of a whole split yields."""

    values: dict[str, float]  # the mean `loss` over the samples, and what the evaluators yield
    confusion: np.ndarray  # int64 [classes, classes]: rows are the true classes
    picker: SamplePicker  # samples for the report


class Validator:
    """Evaluates models on one decoded split; of several processes each takes a share."""

    def __init__(
        self,
        train: Train,
        seed: int,
        loss: Loss,
        decoded: Decoded,
        class_names: tuple[str, ...],
        device: Device,
    ) -> None:
        """Prepare; the seed picks samples for the report."""
        self._train = train
        self._seed = seed
        self._loss = loss
        self._decoded = decoded
        self._class_names = class_names
        self._device = device

    def try_out(self, model: Model) -> dict[str, float]:
        """Evaluate two batches, so that a mistake in a model or metric shows before training."""
        batches = list(islice(self._batches(1), _TRIAL_BATCHES))
        self._check_logits(model, batches[0].images[:1])
        return self._evaluate(model, batches)[1]

    def evaluate_part(self, model: Model) -> dict[str, float]:
        """Return the values on the part of the split that `train.val_subsplits` leaves."""
        return self._evaluate(model, self._batches(self._train.val_subsplits))[1]

    def evaluate_whole(self, model: Model) -> Evaluation:
        """Return the values on the whole split, the confusion matrix and picked samples."""
        picker = SamplePicker(seed=self._seed, ignore_index=IGNORE_INDEX)
        confusion, values = self._evaluate(model, self._batches(1), picker)
        return Evaluation(values, confusion, picker)

    def _evaluate(
        self, model: Model, batches: Iterable[Batch], picker: SamplePicker | None = None
    ) -> tuple[np.ndarray, dict[str, float]]:
        confusion, evaluators = build_evaluators(self._train, self._class_names, IGNORE_INDEX)
        total, count = 0.0, 0
        with measuring(model, self._loss, self._device) as measure:
            for batch in batches:
                loss, prediction = measure(batch)
                if not batch.counts:
                    continue
                total += loss * len(batch.masks)
                count += len(batch.masks)
                for evaluator in evaluators:
                    evaluator.update(batch.masks, prediction)
                if picker is not None:
                    names = [self._decoded.names[index] for index in batch.indices]
                    picker.update(batch.images, batch.masks, prediction, names, batch.indices)
        world = self._device.world
        total, count = world.sum(np.array([total, count])).tolist()
        values = {"loss": total / count}
        for evaluator in evaluators:
            evaluator.totals = world.sum(evaluator.totals)
            values.update(evaluator.results())
        if picker is not None and world.size > 1:
            picker.join(world.gather(picker.packed()))
        return confusion.totals, values

    def _batches(self, parts: int) -> Iterator[Batch]:
        world, train = self._device.world, self._train
        size = train.batch_size // train.accumulate  # what fits into memory in training fits here
        return evaluation_batches(self._decoded, size, (0, parts), Share(world.rank, world.size))

    def _check_logits(self, model: Model, images: np.ndarray) -> None:
        shape = shape_of_logits(model, images, self._device)
        count, height, width = expected = list(images.shape[:3])
        names = ["batch", "height", "width"]
        expected.insert(CLASS_AXIS, len(self._class_names))
        names.insert(CLASS_AXIS, "classes")
        if shape != expected:
            raise UserError(
                f"the model returned logits of shape {shape} for {count} images of "
                f"{height}x{width}; expected [{', '.join(names)}], here {expected}."
            )
