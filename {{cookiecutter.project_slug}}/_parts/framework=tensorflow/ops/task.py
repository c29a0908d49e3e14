"""What a segmentation model is given and what its outputs mean, in TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ops.loss_functions import Loss
from utils.errors import UserError
from utils.framework import keras, tf

_CLASS_AXIS = 3


class ModelIO:
    """The model takes images, float32 [B, H, W, 3], and returns logits, [B, H, W, classes]."""

    reads = ("image",)
    """The fields that the model sees."""

    def __init__(
        self,
        num_classes: int,
        image_size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        """Keep what images and logits are like; `mean` and `std` are those of the task."""
        self._num_classes = num_classes
        self._image_size = image_size
        self._shift = np.array(mean, np.float32) * np.float32(255)
        self._scale = np.array(std, np.float32) * np.float32(255)

    def placeholders(self) -> tuple[Any, ...]:
        """Return what stands for the inputs where a model makes its variables."""
        return (keras.Input((*self._image_size, len(self._shift))),)

    def inputs(self, fields: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Return what the model is called with: uint8 [B, H, W, 3] as normalised float32.

        Inside of a traced function it becomes part of the graph.
        """
        images = fields["image"]
        count, height, width, channels = images.shape
        count = -1 if count is None else count
        # Given three numbers for the three channels of a pixel, a CPU works through runs of three;
        # given a whole row it is several times as fast.
        rows = tf.cast(tf.reshape(images, (count, height, width * channels)), tf.float32)
        rows = (rows - np.tile(self._shift, width)) / np.tile(self._scale, width)
        return (tf.reshape(rows, (count, height, width, channels)),)

    def check(self, outputs: Any) -> None:
        """Raise a UserError if a model returned anything but logits for some images."""
        height, width = self._image_size
        expected = ["batch", height, width, self._num_classes]
        shape = list(outputs.shape) if tf.is_tensor(outputs) else None
        if shape is None or shape[1:] != expected[1:]:
            found = f"a {type(outputs).__name__}" if shape is None else f"the shape {shape}"
            raise UserError(
                f"the model returned {found} for images of {height}x{width}; expected logits "
                f"[batch, height, width, classes], here [{', '.join(map(str, expected))}]."
            )

    def loss(self, loss: Loss, outputs: tf.Tensor, fields: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the loss of a batch; a loss takes logits in float32 and classes in int32."""
        return loss(tf.cast(outputs, tf.float32), tf.cast(fields["mask"], tf.int32))

    def predict(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the most likely class of each pixel, uint8 [B, H, W], as `mask`."""
        return {"mask": tf.cast(tf.argmax(outputs, _CLASS_AXIS), tf.uint8)}

    def probabilities(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return the probability of each class at each pixel, float32 [B, classes, H, W]."""
        shares = tf.nn.softmax(tf.cast(outputs, tf.float32), axis=_CLASS_AXIS)
        return tf.transpose(shares, (0, 3, 1, 2))
