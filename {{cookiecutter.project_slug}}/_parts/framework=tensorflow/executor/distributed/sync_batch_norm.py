"""Lets batch normalisation use the statistics of all replicas."""

from utils.errors import UserError
from utils.framework import keras, tf


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the layers of a model that normalise by the statistics of a batch."""
    layers = model._flatten_layers()
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def synchronise(model: keras.Model) -> None:
    """Let these layers use the statistics of all replicas' shares, in training."""
    for layer in batch_norms(model):
        layer.synchronized = True


def losses_of_layers(model: keras.Model, *, takes_turns: bool) -> list[tf.Tensor]:
    """Return what layers add to the loss, such as the decay of their weights; in a forward pass.

    `takes_turns`: several devices of one process compute layer by layer, as synchronised layers let
    them. Keras keeps what a layer adds in the layer, which then has that of all devices; so it is a
    UserError if there are such losses.
    """
    if takes_turns and any(layer._losses for layer in model._flatten_layers()):
        raise UserError(
            "a layer of the model adds a loss of its own (add_loss), which Keras mixes up between "
            "devices where executor.sync_batch_norm=true lets them take turns. Take "
            "executor.strategy=multi_worker or single, or executor.sync_batch_norm=false."
        )
    losses: list[tf.Tensor] = model.losses
    return losses
