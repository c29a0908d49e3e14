"""Runs a model over batches without learning from them."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from dataloader.batches import Batch
from evaluation.evaluator import Evaluator
from evaluation.samples import SamplePicker
from executor.device import Device
from executor.step import Loss


def predict_classes(model: nn.Module, images: np.ndarray, device: Device) -> np.ndarray:
    """Return the most likely class of each pixel.

    Args:
        model: In evaluation mode.
        images: uint8 [B, H, W, 3].
        device: Where the model is.

    Returns:
        uint8 [B, H, W].
    """
    with torch.inference_mode(), device.autocast():
        logits = model(device.images(images))
    classes: np.ndarray = logits.argmax(1).to(torch.uint8).cpu().numpy()
    return classes


def evaluate_batches(
    model: nn.Module,
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
