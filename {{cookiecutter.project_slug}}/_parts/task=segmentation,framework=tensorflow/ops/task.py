"""What a segmentation model is given and what its outputs mean, in TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

from ops.loss_functions import Loss
from ops.normalise import Normalise
from ops.outputs import LOGITS, check_outputs, named_outputs
from ops.weighted_loss import LossValue
from utils.framework import keras, tf

_CLASS_AXIS = 3


class ModelIO:
    """The model takes images, float32 [B, H, W, channels], and returns logits, [B, H, W, classes].

    It may return auxiliary logits beside them, of any height and width (see `ops.outputs`).
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
        answers_in_masks: bool = False,
    ) -> None:
        """Keep what images and logits are like; see `evaluation.task.Task`.

        `answers_in_masks` says that masks are not resized once they are predicted.
        """
        self._num_classes = num_classes
        self._image_size = image_size
        self._channels = len(mean)
        self._normalise = Normalise(mean, std)
        self._auxiliary_weight = auxiliary_weight
        self._answers_in_masks = answers_in_masks

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
        expected = ("batch", height, width, self._num_classes)
        check_outputs(outputs, expected, f"images of {height}x{width}", shape, free=(1, 2))

    def loss(self, loss: Loss, outputs: Any, fields: Mapping[str, tf.Tensor]) -> LossValue:
        """Return the loss of a batch; a loss takes logits in float32 and classes in int32.

        Auxiliary logits are enlarged to the masks' size.
        """
        logits, *others = named_outputs(outputs).values()
        target = tf.cast(fields["mask"], tf.int32)
        total: Any = loss(tf.cast(logits, tf.float32), target)
        for other in others:
            enlarged = tf.image.resize(tf.cast(other, tf.float32), target.shape[1:])
            total += self._auxiliary_weight * loss(enlarged, target)
        return total

    def predict(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Return the most likely class of each pixel, uint8 [B, H, W], as `mask`."""
        logits = named_outputs(outputs)[LOGITS]
        return {"mask": tf.cast(tf.argmax(logits, _CLASS_AXIS), tf.uint8)}

    def answer(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Return `mask`, or `probabilities` where a mask of another size is made of them."""
        if self._answers_in_masks:
            return self.predict(outputs)
        return {"probabilities": self.probabilities(outputs)}

    def probabilities(self, outputs: Any) -> tf.Tensor:
        """Return the probability of each class at each pixel, float32 [B, classes, H, W]."""
        logits = tf.cast(named_outputs(outputs)[LOGITS], tf.float32)
        return tf.transpose(tf.nn.softmax(logits, axis=_CLASS_AXIS), (0, 3, 1, 2))
