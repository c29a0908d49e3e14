"""Two devices with half of a batch each normalise as one does with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from executor.distributed.sync_batch_norm import batch_norms, synchronise
from model.keras_layers import BatchNormalization
from utils.framework import keras, tf

# Normalises in a process of its own, since a CPU is divided before TensorFlow runs.
PROGRAM = """
import sys
import keras
import numpy as np
import tensorflow as tf
from executor.distributed.sync_batch_norm import synchronise
from executor.distributed.mirrored import Mirrored
from test_sync_batch_norm import built, learned
from contextlib import ExitStack

folder, *kinds = sys.argv[1:]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with ExitStack() as stack:
    world = Mirrored(2, stack)
    world.connect(1.0)
    for kind in kinds:
        model = built(kind)
        synchronise(model)

        @tf.function(autograph=False)
        def train(batch, gradient):
            return world.together(learned, model, world.shares(batch), world.shares(gradient))

        given = np.load(f"{folder}/given {kind}.npz")
        for batch, gradient in zip(given["batches"], given["gradients"]):
            both = [world._engine.experimental_local_results(one) for one in train(batch, gradient)]
        outputs, slopes, *sums = [[part.numpy() for part in parts] for parts in both]
        np.savez(
            f"{folder}/got {kind}.npz",
            outputs=np.concatenate(outputs),
            slopes=np.concatenate(slopes),
            sums=np.stack([np.sum(parts, axis=0) for parts in sums]),
            running=np.stack([v.numpy() for v in model.non_trainable_weights]),
            copies=np.stack([v.value.values[1].numpy() for v in model.non_trainable_weights]),
        )
"""
# Ours also far from zero, where the mean of squares less the squared mean loses digits.
MEANS = {"ours": 100.0, "of Keras": 0.0}


def built(kind: str) -> keras.Model:
    """Return a model with our normalisation or that of Keras."""
    made = {
        "ours": lambda: BatchNormalization(3),
        "of Keras": lambda: keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
    }
    model = keras.Sequential([keras.Input((5, 4, 3)), made[kind]()])
    for variable, value in zip(model.trainable_weights, ([0.5, -1, 2], [1, 0, -3]), strict=True):
        variable.assign(value)
    return model


def learned(model: keras.Model, batch: tf.Tensor, gradient: tf.Tensor) -> list[tf.Tensor]:
    """Return what a model makes of a batch, and the gradients of that and of its weights."""
    with tf.GradientTape() as tape:
        tape.watch(batch)
        outputs = model(batch, training=True)
        loss = tf.reduce_sum(outputs * gradient)
    weights = [variable.value for variable in model.trainable_weights]
    return [outputs, *tape.gradient(loss, [batch, *weights])]


@pytest.fixture(scope="module")
def normalised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what both kinds of normalisation were given on two devices, and got."""
    folder = tmp_path_factory.mktemp("normalised")
    for kind, mean in MEANS.items():
        draws = np.random.default_rng(0)
        batches = (mean + 3 * draws.normal(size=(2, 8, 5, 4, 3))).astype(np.float32)
        gradients = draws.normal(size=(2, 8, 5, 4, 3)).astype(np.float32)
        np.savez(folder / f"given {kind}.npz", batches=batches, gradients=gradients)
    places = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", PROGRAM, str(folder), *MEANS]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": places}, check=True)
    return folder


@pytest.mark.parametrize("kind", MEANS)
def test_two_devices_normalise_as_one_does(kind: str, normalised: Path) -> None:
    given, got = (np.load(normalised / f"{name} {kind}.npz") for name in ("given", "got"))
    model = built(kind)
    for batch, gradient in zip(given["batches"], given["gradients"], strict=True):
        outputs, slopes, *sums = learned(model, tf.constant(batch), tf.constant(gradient))
    margin: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(got["outputs"], outputs, **margin)
    np.testing.assert_allclose(got["slopes"], slopes, **margin)
    np.testing.assert_allclose(got["sums"], np.stack(sums), **margin)
    running = np.stack([variable.numpy() for variable in model.non_trainable_weights])
    np.testing.assert_allclose(got["running"], running, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(got["copies"], got["running"])


def test_all_normalisations_of_a_model_are_found() -> None:
    model = keras.Sequential([built("ours"), built("of Keras"), keras.layers.Conv2D(1, 1)])
    assert [layer.synchronized for layer in batch_norms(model)] == [False, False]
    synchronise(model)
    assert [layer.synchronized for layer in batch_norms(model)] == [True, True]
