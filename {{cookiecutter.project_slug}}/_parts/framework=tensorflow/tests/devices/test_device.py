"""Which device and precision is taken, and what arrives on it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.loading import load_config
from configs.schema import CFG
from executor.devices.device import Device
from executor.devices.tensors import read_tensors, write_tensors
from ops.task import ModelIO
from utils.errors import StoppedError, UserError
from utils.framework import keras, tf
from utils.storage import PROJECT


def config(*overrides: str) -> CFG:
    has_device = any(word.startswith("executor.device=") for word in overrides)
    return load_config(None, [*overrides, *([] if has_device else ["executor.device=cpu"])])


def test_devices_and_precisions_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    with pytest.raises(UserError, match="Available: cpu"):
        Device(config("executor.device=cuda"))
    with pytest.raises(UserError, match="needs a GPU"):
        Device(config("executor.device=auto", "executor.precision=fp16"))
    with pytest.raises(UserError, match="channels_last=false"):
        Device(config("executor.channels_last=false"))


def test_images_arrive_normalised() -> None:
    io = ModelIO(3, (4, 5), mean=(0, 0.5, 1), std=(1, 0.5, 0.25), auxiliary_weight=0.4)
    (images,) = io.inputs({"image": np.full((2, 4, 5, 3), 255, np.uint8)})
    assert images.shape == (2, 4, 5, 3)
    assert images[0, 0, 0].numpy().tolist() == [1.0, 1.0, 0.0]


def test_memory_layouts_survive_a_file(tmp_path: Path) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_tensors(tmp_path / "x.safetensors", {"a": rows.T, "b": rows[:, 1], "c": np.array(3)})
    loaded = read_tensors(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(loaded["a"], rows.T)
    np.testing.assert_array_equal(loaded["b"], rows[:, 1])
    assert loaded["c"].shape == ()


def test_another_backend_of_keras_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "main.py", "train"],
        cwd=PROJECT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "KERAS_BACKEND=jax: this project runs Keras on TensorFlow" in done.stderr


def test_commands_say_nothing_of_tensorflows_own(tmp_path: Path) -> None:
    words = ["predict", str(tmp_path), "x.png", "--output", str(tmp_path / "out")]
    command = [sys.executable, "main.py", *words]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


class Stopped(keras.layers.Layer):
    """A layer in whose call a signal arrives."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        raise StoppedError("stopped", signal.SIGTERM)


@pytest.mark.parametrize("function", [lambda images: Stopped()(images), Stopped()])
def test_a_stop_is_not_turned_into_an_error_of_the_framework(function: Any) -> None:
    with pytest.raises(StoppedError):
        tf.function(function)(tf.zeros([1]))
