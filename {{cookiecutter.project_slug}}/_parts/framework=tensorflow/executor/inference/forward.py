"""Runs a model on images without learning from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dataloader.batches import Batch
from executor.devices.device import Device
from executor.devices.tensors import Model
from ops.loss_functions import Loss
from utils.framework import keras, tf

CLASS_AXIS = 3
"""Which axis of the logits holds the classes: they are [B, H, W, C]."""

Measure = Callable[[Batch], tuple[float, np.ndarray]]


def shape_of_logits(model: Model, images: np.ndarray, device: Device) -> list[int]:
    """Return the shape of what a model makes of images, uint8 [B, H, W, 3]."""
    return list(device.compiled(model)(images).shape)


def predict_classes(model: Model, images: np.ndarray, device: Device) -> np.ndarray:
    """Return the most likely class of each pixel, uint8 [B, H, W]; images: uint8 [B, H, W, 3]."""
    return _classes(device.compiled(model)(images))


def predict_probabilities(model: Model, images: np.ndarray, device: Device) -> np.ndarray:
    """Return the probability of each class at each pixel, float32 [B, C, H, W]."""
    probabilities = tf.nn.softmax(device.compiled(model)(images), axis=CLASS_AXIS).numpy()
    return np.ascontiguousarray(np.moveaxis(probabilities, CLASS_AXIS, 1))


def loss_argument(value: object, target: str) -> object:
    """Return an argument of a loss as it stands in the YAML; Keras' losses take it so."""
    return value


def adapt_loss(loss: Any, device: Device) -> Loss:
    """Return a loss of any kind as a callable of logits [B, H, W, C] and targets [B, H, W].

    Keras' own losses take the truth first.
    """

    def ordered(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return loss(target, logits)

    adapted: Loss = ordered if isinstance(loss, keras.losses.Loss) else loss
    return adapted


@contextmanager
def measuring(model: Model, loss: Loss, device: Device) -> Iterator[Measure]:
    """Yield a function of a batch that returns its mean loss and the classes, uint8 [B, H, W]."""
    forward = device.compiled(model)

    def measure(batch: Batch) -> tuple[float, np.ndarray]:
        logits = forward(batch.images)
        return float(loss(logits, device.masks(batch.masks))), _classes(logits)

    yield measure


def _classes(logits: tf.Tensor) -> np.ndarray:
    classes: np.ndarray = tf.cast(tf.argmax(logits, CLASS_AXIS), tf.uint8).numpy()
    return classes
