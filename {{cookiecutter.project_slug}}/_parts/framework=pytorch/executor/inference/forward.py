"""Runs a model on images without learning from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from dataloader.batches import Batch
from executor.devices.device import Device
from executor.devices.tensors import Model
from ops.loss_functions import Loss

CLASS_AXIS = 1
"""Which axis of the logits holds the classes: they are [B, C, H, W]."""

Measure = Callable[[Batch], tuple[float, np.ndarray]]


def shape_of_logits(model: Model, images: np.ndarray, device: Device) -> list[int]:
    """Return the shape of what a model makes of images, uint8 [B, H, W, 3]."""
    with _evaluating(model):
        return list(_logits(model, images, device).shape)


def predict_classes(model: Model, images: np.ndarray, device: Device) -> np.ndarray:
    """Return the most likely class of each pixel, uint8 [B, H, W]; images: uint8 [B, H, W, 3]."""
    with _evaluating(model):
        return _classes(_logits(model, images, device))


def predict_probabilities(model: Model, images: np.ndarray, device: Device) -> np.ndarray:
    """Return the probability of each class at each pixel, float32 [B, C, H, W]."""
    with _evaluating(model):
        logits = _logits(model, images, device)
        probabilities: np.ndarray = logits.float().softmax(CLASS_AXIS).cpu().numpy()
    return probabilities


def loss_argument(value: object, target: str) -> object:
    """Let a list of numbers in YAML serve PyTorch's own losses, whose weights are tensors."""
    is_numbers = isinstance(value, list) and all(isinstance(v, int | float) for v in value)
    is_theirs = target.startswith("torch.")
    return torch.tensor(value, dtype=torch.float32) if is_numbers and is_theirs else value


def adapt_loss(loss: Any, device: Device) -> Loss:
    """Return a loss of any kind as a callable of logits [B, C, H, W] and targets [B, H, W]."""
    if isinstance(loss, nn.Module):
        loss.to(device.torch_device)
    adapted: Loss = loss
    return adapted


@contextmanager
def measuring(model: Model, loss: Loss, device: Device) -> Iterator[Measure]:
    """Yield a function of a batch that returns its mean loss and the classes, uint8 [B, H, W].

    Meanwhile the model is in evaluation mode.
    """

    def measure(batch: Batch) -> tuple[float, np.ndarray]:
        logits = _logits(model, batch.images, device)
        return loss(logits.float(), device.masks(batch.masks)).item(), _classes(logits)

    with _evaluating(model):
        yield measure


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    was_training = model.training
    model.eval()
    # What FSDP2 collects parameters into is used again in training, so it must be ordinary memory.
    is_sharded = hasattr(model, "unshard")
    try:
        with torch.no_grad() if is_sharded else torch.inference_mode():
            yield
    finally:
        if is_sharded:
            model.reshard()  # type: ignore[operator]
        model.train(was_training)


def _logits(model: Model, images: np.ndarray, device: Device) -> torch.Tensor:
    with device.autocast():
        logits: torch.Tensor = model(device.images(images))
    return logits


def _classes(logits: torch.Tensor) -> np.ndarray:
    classes: np.ndarray = logits.argmax(CLASS_AXIS).to(torch.uint8).cpu().numpy()
    return classes
