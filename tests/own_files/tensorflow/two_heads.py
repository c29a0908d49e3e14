"""A network with an auxiliary head, in TensorFlow."""

from utils.framework import keras, tf


class TwoHeads(keras.Model):
    """Two convolutions; there is a head after each, of which the second one counts."""

    def __init__(self, num_classes: int, in_channels: int = 1, width: int = 16) -> None:
        super().__init__()
        options = {"strides": 2, "padding": "same", "activation": "relu"}
        self.first = keras.layers.Conv2D(width, 3, name="first", **options)
        self.second = keras.layers.Conv2D(width, 3, name="second", **options)
        self.flatten = keras.layers.Flatten()
        self.early = keras.layers.Dense(num_classes, name="early")
        self.head = keras.layers.Dense(num_classes, name="head")

    def call(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return logits [B, num_classes] of both heads for images [B, 16, 16, in_channels]."""
        features = self.first(images)
        logits = self.head(self.flatten(self.second(features)))
        return {"logits": logits, "early": self.early(tf.reduce_mean(features, axis=(1, 2)))}
