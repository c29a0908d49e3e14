"""What every loop trains with TensorFlow: the same model on the same decoded arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf
from arrays import CLASSES
from model.unet import UNet
from work import Work


@dataclass(frozen=True)
class Workload(Work):
    """One training with TensorFlow, without saying who runs it."""

    @property
    def target(self) -> str:
        """The name of the model's class, as a configuration has it."""
        model = MODELS[self.model]
        return f"{model.__module__}:{model.__name__}"

    def build_model(self) -> keras.Model:
        """Return a new model that has its variables; its numbers follow from the precision."""
        if self.precision == "bf16":
            keras.config.set_dtype_policy("mixed_bfloat16")
        model = MODELS[self.model](num_classes=len(CLASSES), **self.arguments)
        model(tf.zeros((1, self.side, self.side, 3)))
        return model

    def build_optimizer(self) -> keras.optimizers.Optimizer:
        """Return Keras' own optimizer with its defaults."""
        optimizers = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
        return optimizers[self.optimizer](learning_rate=1e-3)

    def set_threads(self) -> None:
        """Use as many threads as the workload says, as `executor.threads` does."""
        if self.threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(self.threads)
            tf.config.threading.set_inter_op_parallelism_threads(self.threads)


class Tiny(keras.Model):
    """A few thousand parameters over a few pixels: a step costs next to nothing but overhead."""

    def __init__(
        self, num_classes: int, side: int, hidden: Sequence[int], normalised: bool = False
    ) -> None:
        super().__init__()
        pixels = side * side
        layers: list[keras.layers.Layer] = [keras.layers.Flatten()]
        for width in hidden:
            layers.append(keras.layers.Dense(width))
            if normalised:
                layers.append(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
            layers.append(keras.layers.ReLU())
        layers.append(keras.layers.Dense(num_classes * pixels))
        layers.append(keras.layers.Reshape((side, side, num_classes)))
        self.whole = keras.Sequential(layers)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return logits float32 [B, H, W, C] for images [B, H, W, 3]."""
        return tf.cast(self.whole(images, training=training), tf.float32)


MODELS = {"unet": UNet, "tiny": Tiny}
