"""What a classification model is given and what its outputs mean, in TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

from ops.loss_functions import Loss
from ops.normalise import Normalise
from ops.outputs import LOGITS, check_outputs, named_outputs
from ops.weighted_loss import LossValue
from utils.framework import keras, tf


class ModelIO:
    """The model takes images, float32 [B, H, W, channels], and returns logits, [B, classes].

    It may return auxiliary logits beside them (see `ops.outputs`).
    """

    reads = ("image",)
    """The fields that the model sees."""

    def __init__(
        self,
        num_classes: int,
        image_size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        auxiliary_weight: float,
    ) -> None:
        """Keep what images and logits are like; see `evaluation.task.Task`."""
        self._num_classes = num_classes
        self._image_size = image_size
        self._channels = len(mean)
        self._normalise = Normalise(mean, std)
        self._auxiliary_weight = auxiliary_weight

    def placeholders(self) -> tuple[Any, ...]:
        """Return what stands for the inputs where a model makes its variables."""
        return (keras.Input((*self._image_size, self._channels)),)

    def inputs(self, fields: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Return what the model is called with: the images, normalised."""
        return (self._normalise(fields["image"]),)

    def check(self, outputs: Any) -> None:
        """Raise a UserError if a model returned anything but logits for some images."""
        height, width = self._image_size
        shape = lambda o: list(o.shape) if tf.is_tensor(o) else None  # noqa: E731
        expected = ("batch", self._num_classes)
        check_outputs(outputs, expected, f"images of {height}x{width}", shape)

    def loss(self, loss: Loss, outputs: Any, fields: Mapping[str, tf.Tensor]) -> LossValue:
        """Return the loss of a batch.

        A loss takes logits in float32, and classes in int32 or, where samples are mixed, the share
        of each class in float32.
        """
        logits, *others = named_outputs(outputs).values()
        target = tf.convert_to_tensor(fields["label"])
        target = target if target.dtype.is_floating else tf.cast(target, tf.int32)
        total: Any = loss(tf.cast(logits, tf.float32), target)
        for other in others:
            total += self._auxiliary_weight * loss(tf.cast(other, tf.float32), target)
        return total

    def predict(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Return the likeliest class, `label`, int32 [B], and `probabilities`, [B, classes]."""
        shares = self.probabilities(outputs)
        label = tf.argmax(shares, axis=1, output_type=tf.int32)
        return {"label": label, "probabilities": shares}

    answer = predict  # the task's `decode` and `write` need nothing else

    def probabilities(self, outputs: Any) -> tf.Tensor:
        """Return the probability of each class, float32 [B, classes]."""
        return tf.nn.softmax(tf.cast(named_outputs(outputs)[LOGITS], tf.float32), axis=1)
