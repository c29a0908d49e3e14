"""Runs a model on samples without learning from them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from dataloader.batches import Batch
from dataloader.sample import Fields
from executor.devices.device import Device
from executor.devices.tensors import Model
from ops.loss_functions import Loss
from ops.task import ModelIO
from ops.weighted_loss import per_element
from utils.framework import keras, tf

Measure = Callable[[Batch], tuple[np.ndarray, dict[str, np.ndarray]]]


def check_outputs(model: Model, io: ModelIO, fields: Fields, device: Device) -> None:
    """Raise a UserError if what a model makes of the first sample is not what the task expects."""
    first = {name: array[:1] for name, array in fields.items()}
    io.check(device.inference(model, io)(first))


def predict_answers(
    model: Model, io: ModelIO, fields: Fields, device: Device
) -> dict[str, np.ndarray]:
    """Return what a task makes its answers of, for samples, [B, ...] by name."""
    return _arrays(io.answer(device.inference(model, io)(fields)))


def predict_probabilities(
    model: Model, io: ModelIO, fields: Fields, device: Device
) -> dict[str, np.ndarray]:
    """Return `probabilities`, float32 [B, classes, ...], of samples."""
    return _arrays({"probabilities": io.probabilities(device.inference(model, io)(fields))})


def loss_argument(value: object, target: str) -> object:
    """Return an argument of a loss as it stands in the YAML; Keras' losses take it so."""
    return value


def adapt_loss(loss: Any, device: Device) -> Loss:
    """Return a loss of any kind as a callable of outputs and truth.

    Keras' own losses take the truth first.
    """

    def ordered(outputs: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
        return loss(truth, outputs)

    adapted: Loss = ordered if isinstance(loss, keras.losses.Loss) else loss
    return adapted


@contextmanager
def measuring(model: Model, io: ModelIO, loss: Loss, device: Device) -> Iterator[Measure]:
    """Yield a function of a batch that returns its loss and what is predicted.

    The loss is float64 [2]: sum and weight, both divided by how many elements were added up.
    """
    forward = device.inference(model, io)

    def measure(batch: Batch) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        outputs = forward(batch.fields)
        sums = np.array(per_element(io.loss(loss, outputs, batch.fields)), np.float64)
        return sums, _arrays(io.predict(outputs))

    yield measure


def _arrays(tensors: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}
