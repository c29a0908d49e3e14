"""Runs a model over batches without learning from them."""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from dataloader.batches import Batch
from evaluation.evaluator import Evaluator
from evaluation.samples import SamplePicker
from executor.device import Device
from executor.step import Loss
from executor.tensors import Model
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
    shape = tuple(device.compiled(model)(images).shape)
    expected = (count, height, width, num_classes)
    if shape != expected:
        raise UserError(
            f"the model returned logits of shape {list(shape)} for {count} images of "
            f"{height}x{width}; expected [batch, height, width, classes], here {list(expected)}."
        )


def predict_classes(model: Model, images: np.ndarray, device: Device) -> np.ndarray:
    """Return the most likely class of each pixel.

    Args:
        model: Any; evaluated in evaluation mode.
        images: uint8 [B, H, W, 3].
        device: Where the model is.

    Returns:
        uint8 [B, H, W].
    """
    return _classes(device.compiled(model)(images))


def evaluate_batches(
    model: Model,
    loss: Loss,
    batches: Iterable[Batch],
    device: Device,
    evaluators: Sequence[Evaluator],
    picker: SamplePicker | None = None,
    names: Sequence[str] = (),
) -> dict[str, float]:
    """Measure a model.

    Args:
        model: Evaluated in evaluation mode.
        loss: As in training.
        batches: What to measure it on.
        device: Where the model is.
        evaluators: Fresh ones; they see every batch.
        picker: Collects samples for the report.
        names: The samples' names by index; needed with a picker.

    Returns:
        The mean `loss` over the samples and the values of all evaluators, by name.
    """
    forward = device.compiled(model)
    total, count = 0.0, 0
    for batch in batches:
        logits = forward(batch.images)
        total += float(loss(logits, device.masks(batch.masks))) * len(batch.masks)
        count += len(batch.masks)
        prediction = _classes(logits)
        for evaluator in evaluators:
            evaluator.update(batch.masks, prediction)
        if picker is not None:
            shown = [names[index] for index in batch.indices]
            picker.update(batch.images, batch.masks, prediction, shown, batch.indices)
    values = {"loss": total / count}
    for evaluator in evaluators:
        values.update(evaluator.results())
    return values


def _classes(logits: tf.Tensor) -> np.ndarray:
    classes: np.ndarray = tf.cast(tf.argmax(logits, axis=-1), tf.uint8).numpy()
    return classes
