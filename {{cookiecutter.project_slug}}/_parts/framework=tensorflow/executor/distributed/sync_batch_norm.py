"""Lets batch normalisation use the statistics of all replicas."""

from executor.devices.tensors import Model
from utils.framework import keras


def batch_norms(model: Model) -> list[keras.layers.BatchNormalization]:
    """Return the layers of a model that normalise by the statistics of a batch."""
    layers = model._flatten_layers()
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def synchronise(model: Model) -> None:
    """Let these layers use the statistics of all replicas' shares, in training."""
    for layer in batch_norms(model):
        layer.synchronized = True
