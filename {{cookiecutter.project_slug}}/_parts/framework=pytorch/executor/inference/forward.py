"""Runs a model on samples without learning from them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from dataloader.batches import Batch
from dataloader.sample import Fields
from executor.devices.device import Device
from executor.devices.tensors import Model
from ops.loss_functions import Loss
from ops.task import ModelIO
from ops.weighted_loss import per_element

Measure = Callable[[Batch], tuple[np.ndarray, dict[str, np.ndarray]]]


def check_outputs(model: Model, io: ModelIO, fields: Fields, device: Device) -> None:
    """Raise a UserError if what a model makes of the first sample is not what the task expects."""
    first = device.move({name: array[:1] for name, array in fields.items()})
    with _evaluating(model):
        io.check(_outputs(model, io, first, device))


def predict_answers(
    model: Model, io: ModelIO, fields: Fields, device: Device
) -> dict[str, np.ndarray]:
    """Return what a task makes its answers of, for samples, [B, ...] by name."""
    with _evaluating(model):
        return _arrays(io.answer(_outputs(model, io, device.move(fields), device)))


def predict_probabilities(
    model: Model, io: ModelIO, fields: Fields, device: Device
) -> dict[str, np.ndarray]:
    """Return `probabilities`, float32 [B, classes, ...], of samples."""
    with _evaluating(model):
        outputs = _outputs(model, io, device.move(fields), device)
        return _arrays({"probabilities": io.probabilities(outputs)})


def loss_argument(value: object, target: str) -> object:
    """Let a list of numbers in YAML serve PyTorch's own losses, whose weights are tensors."""
    is_numbers = isinstance(value, list) and all(isinstance(v, int | float) for v in value)
    is_theirs = target.startswith("torch.")
    return torch.tensor(value, dtype=torch.float32) if is_numbers and is_theirs else value


def adapt_loss(loss: Any, device: Device) -> Loss:
    """Return a loss of any kind as a callable of outputs and truth."""
    if isinstance(loss, nn.Module):
        loss.to(device.torch_device)
    adapted: Loss = loss
    return adapted


@contextmanager
def measuring(model: Model, io: ModelIO, loss: Loss, device: Device) -> Iterator[Measure]:
    """Yield a function of a batch that returns its loss and what is predicted.

    The loss is float64 [2]: sum and weight, both divided by how many elements were added up.
    Meanwhile the model is in evaluation mode.
    """

    def measure(batch: Batch) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        fields = device.move(batch.fields)
        outputs = _outputs(model, io, fields, device)
        sums = torch.stack(per_element(io.loss(loss, outputs, fields)))
        return sums.double().cpu().numpy(), _arrays(io.predict(outputs))

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


def _outputs(model: Model, io: ModelIO, fields: Mapping[str, torch.Tensor], device: Device) -> Any:
    inputs = device.arranged(io.inputs(fields))
    with device.autocast():
        return model(*inputs)


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
