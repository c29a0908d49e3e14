"""Measures models on batches without learning from them."""

from collections.abc import Iterable, Sequence

import numpy as np

from dataloader.batches import Batch
from evaluation.evaluator import Evaluator
from evaluation.samples import SamplePicker
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.inference.forward import CLASS_AXIS, measuring, shape_of_logits
from ops.loss_functions import Loss
from utils.errors import UserError


def check_logits(model: Model, images: np.ndarray, num_classes: int, device: Device) -> None:
    """Check that a model turns images into the logits that loss and metrics expect.

    Args:
        model: Any.
        images: uint8 [B, H, W, 3]; one is enough.
        num_classes: How many channels the logits must have.
        device: Where the model is.

    Raises:
        UserError: If the shape is another one.
    """
    count, height, width = images.shape[:3]
    shape = shape_of_logits(model, images, device)
    expected, names = [count, height, width], ["batch", "height", "width"]
    expected.insert(CLASS_AXIS, num_classes)
    names.insert(CLASS_AXIS, "classes")
    if shape != expected:
        raise UserError(
            f"the model returned logits of shape {shape} for {count} images of "
            f"{height}x{width}; expected [{', '.join(names)}], here {expected}."
        )


def evaluate_batches(
    model: Model,
    loss: Loss,
    batches: Iterable[Batch],
    device: Device,
    evaluators: Sequence[Evaluator],
    picker: SamplePicker | None = None,
    names: Sequence[str] = (),
) -> dict[str, float]:
    """Measure a model; each process on its share, the values are those of all.

    Args:
        model: Evaluated in evaluation mode.
        loss: As in training.
        batches: What to measure it on.
        device: Where the model is.
        evaluators: Fresh ones; they see every batch, and their totals are added up.
        picker: Collects samples for the report.
        names: The samples' names by index; needed with a picker.

    Returns:
        The mean `loss` over the samples and the values of all evaluators, by name.
    """
    total, count = 0.0, 0
    with measuring(model, loss, device) as measure:
        for batch in batches:
            value, prediction = measure(batch)
            if not batch.counts:
                continue
            total += value * len(batch.masks)
            count += len(batch.masks)
            for evaluator in evaluators:
                evaluator.update(batch.masks, prediction)
            if picker is not None:
                shown = [names[index] for index in batch.indices]
                picker.update(batch.images, batch.masks, prediction, shown, batch.indices)
    world = device.world
    total, count = world.sum(np.array([total, count])).tolist()
    values = {"loss": total / count}
    for evaluator in evaluators:
        evaluator.totals = world.sum(evaluator.totals)
        values.update(evaluator.results())
    if picker is not None and world.size > 1:
        picker.join(world.gather(picker.packed()))
    return values
