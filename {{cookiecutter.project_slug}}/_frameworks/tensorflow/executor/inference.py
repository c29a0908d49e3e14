"""Runs a model on images without learning from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from dataloader.batches import Batch
from executor.device import Device
from executor.step import Loss
from executor.tensors import Model

CLASS_AXIS = 3
"""Which axis of the logits holds the classes: they are [B, H, W, C]."""

Measure = Callable[[Batch], tuple[float, np.ndarray]]


def shape_of_logits(model: Model, images: np.ndarray, device: Device) -> list[int]:
    """Return the shape of what a model makes of images, uint8 [B, H, W, 3]."""
    return list(device.compiled(model)(images).shape)


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


@contextmanager
def measuring(model: Model, loss: Loss, device: Device) -> Iterator[Measure]:
    """Prepare to measure a model in evaluation mode.

    Args:
        model: Any.
        loss: As in training.
        device: Where the model is.

    Yields:
        A function of a batch that returns its mean loss and the classes, uint8 [B, H, W].
    """
    forward = device.compiled(model)

    def measure(batch: Batch) -> tuple[float, np.ndarray]:
        logits = forward(batch.images)
        return float(loss(logits, device.masks(batch.masks))), _classes(logits)

    yield measure


def _classes(logits: tf.Tensor) -> np.ndarray:
    classes: np.ndarray = tf.cast(tf.argmax(logits, CLASS_AXIS), tf.uint8).numpy()
    return classes
