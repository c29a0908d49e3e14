"""Runs a model over batches without learning from them."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

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
    shape = tuple(_logits(model, images, device).shape)
    expected = (count, num_classes, height, width)
    if shape != expected:
        raise UserError(
            f"the model returned logits of shape {list(shape)} for {count} images of "
            f"{height}x{width}; expected [batch, classes, height, width], here {list(expected)}."
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
    classes: np.ndarray = _logits(model, images, device).argmax(1).to(torch.uint8).cpu().numpy()
    return classes


def _logits(model: Model, images: np.ndarray, device: Device) -> torch.Tensor:
    was_training = model.training
    model.eval()
    with torch.inference_mode(), device.autocast():
        logits: torch.Tensor = model(device.images(images))
    model.train(was_training)
    return logits


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
        model: Set to evaluation mode, and back if it was training.
        loss: As in training.
        batches: What to measure it on.
        device: Where the model is.
        evaluators: Fresh ones; they see every batch.
        picker: Collects samples for the report.
        names: The samples' names by index; needed with a picker.

    Returns:
        The mean `loss` over the samples and the values of all evaluators, by name.
    """
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            with device.autocast():
                logits = model(device.images(batch.images))
            total += loss(logits.float(), device.masks(batch.masks)).item() * len(batch.masks)
            count += len(batch.masks)
            prediction = logits.argmax(1).to(torch.uint8).cpu().numpy()
            for evaluator in evaluators:
                evaluator.update(batch.masks, prediction)
            if picker is not None:
                shown = [names[index] for index in batch.indices]
                picker.update(batch.images, batch.masks, prediction, shown, batch.indices)
    model.train(was_training)
    values = {"loss": total / count}
    for evaluator in evaluators:
        values.update(evaluator.results())
    return values
