"""Normalises images on the device."""

from collections.abc import Sequence

import numpy as np

from utils.framework import tf


class Normalise:
    """Turns images, uint8 [B, H, W, channels], into float32 of the same shape.

    Inside of a traced function it becomes part of the graph.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Keep mean and standard deviation of each channel, once it is scaled to 0..1."""
        self._shift = np.array(mean, np.float32) * np.float32(255)
        self._scale = np.array(std, np.float32) * np.float32(255)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Return (image / 255 - mean) / std."""
        count, height, width, channels = images.shape
        count = -1 if count is None else count
        # Given three numbers for the three channels of a pixel, a CPU works through runs of three;
        # given a whole row it is several times as fast.
        rows = tf.cast(tf.reshape(images, (count, height, width * channels)), tf.float32)
        rows = (rows - np.tile(self._shift, width)) / np.tile(self._scale, width)
        return tf.reshape(rows, (count, height, width, channels))
