"""A point in an image, in TensorFlow: what the model is given and what its outputs mean."""

from collections.abc import Callable, Mapping
from typing import Any

from utils.errors import UserError
from utils.framework import keras, tf


class PointIO:
    """The model takes float32 [B, H, W, 1], and returns a dictionary with `point`, [B, 2]."""

    reads = ("picture",)

    def __init__(self, side: int) -> None:
        self._side = side

    def placeholders(self) -> tuple[Any, ...]:
        """Return what stands for the inputs where a model makes its variables."""
        return (keras.Input((self._side, self._side, 1)),)

    def inputs(self, fields: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Return what the model is called with."""
        return (tf.cast(fields["picture"], tf.float32) / 255.0,)

    def check(self, outputs: Any) -> None:
        """Raise a UserError if a model returned anything else."""
        if not isinstance(outputs, dict) or outputs["point"].shape[1:] != (2,):
            raise UserError("the model must return a dictionary with `point`, [batch, 2]")

    def loss(self, loss: Any, outputs: Any, fields: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the loss, and a tenth of that of the head beside it."""
        point = loss(tf.cast(outputs["point"], tf.float32), fields["point"])
        beside = loss(tf.cast(outputs["beside"], tf.float32), fields["point"])
        return point + 0.1 * beside

    def predict(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Return the points."""
        return {"point": tf.cast(outputs["point"], tf.float32)}

    def probabilities(self, outputs: Any) -> tf.Tensor:
        """There are none."""
        raise UserError("points have no probabilities")


def squared_error() -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the mean squared error."""
    return lambda points, truth: tf.reduce_mean(tf.square(points - truth))


class Pointer(keras.Model):
    """A small network with two heads."""

    def __init__(self, side: int, width: int = 16) -> None:
        super().__init__()
        self.flatten = keras.layers.Flatten()
        self.body = keras.layers.Dense(width, activation="relu", name="body")
        self.head = keras.layers.Dense(2, name="head")
        self.beside = keras.layers.Dense(2, name="beside")

    def call(self, pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the point of both heads."""
        features = self.body(self.flatten(pictures))
        return {"point": self.head(features), "beside": self.beside(features)}
