"""What tests need of the framework: files of weights, a model for which memory runs out."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from executor.devices.tensors import tensors_of
from executor.launch.processes import free_ports
from model.mobilenet_v2 import MobileNetV2


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A file with Keras' names, and what a run that begins with it has in its own."""
    path = tmp_path / "mobilenet_v2.safetensors"
    weights = tensors_of(MobileNetV2())
    save_file({**weights, "Conv_1/kernel": np.zeros((1, 1, 320, 1280), np.float32)}, path)
    return path, {f"encoder/{name}": array for name, array in weights.items()}


@pytest.fixture
def unrelated(tmp_path: Path) -> Path:
    """A file with the weights of something else."""
    path = tmp_path / "other.safetensors"
    save_file({"fc/kernel": np.zeros(1, np.float32)}, path)
    return path


@pytest.fixture
def addresses() -> str:
    """Where two launchers on this machine find each other."""
    return ",".join(f"127.0.0.1:{port}" for port in free_ports(2))


GREEDY = """
import keras
import tensorflow as tf


class Greedy(keras.Model):
    \"\"\"Asks for 400 TB where it sees more images at once than it can bear.\"\"\"

    def __init__(self, num_classes, most, most_judged=1000):
        super().__init__()
        self.only = keras.layers.Conv2D(num_classes, 1, name="only")
        self._most, self._most_judged = most, most_judged

    def call(self, images, training=False):
        most = self._most if training else self._most_judged
        logits = self.only(images)
        if isinstance(images, keras.KerasTensor):
            return logits
        much = tf.cond(
            tf.shape(images)[0] > most,
            lambda: tf.reduce_sum(tf.broadcast_to(tf.reduce_mean(images), [10**7, 10**7])),
            lambda: 0.0,
        )
        return logits + tf.cast(much, logits.dtype)
"""


@pytest.fixture
def greedy_code() -> str:
    """A model for which memory runs out: Greedy(num_classes, most, most_judged)."""
    return GREEDY
