"""What a segmentation model is given and what its outputs mean, in PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ops.loss_functions import Loss
from ops.normalise import Normalise
from ops.outputs import LOGITS, check_outputs, named_outputs
from ops.weighted_loss import LossValue

_CLASS_AXIS = 1


class ModelIO:
    """The model takes images, float32 [B, channels, H, W], and returns logits, [B, classes, H, W].

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
        self._normalise = Normalise(mean, std)
        self._auxiliary_weight = auxiliary_weight
        self._answers_in_masks = answers_in_masks

    def inputs(self, fields: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return what the model is called with: the images, normalised."""
        return (self._normalise(fields["image"]),)

    def check(self, outputs: Any) -> None:
        """Raise a UserError if a model returned anything but logits for some images."""
        height, width = self._image_size
        shape = lambda o: list(o.shape) if isinstance(o, Tensor) else None  # noqa: E731
        expected = ("batch", self._num_classes, height, width)
        check_outputs(outputs, expected, f"images of {height}x{width}", shape, free=(2, 3))

    def loss(self, loss: Loss, outputs: Any, fields: Mapping[str, Tensor]) -> LossValue:
        """Return the loss of a batch; a loss takes logits in float32 and classes in int64.

        Auxiliary logits are enlarged to the masks' size.
        """
        logits, *others = named_outputs(outputs).values()
        target = fields["mask"].long()
        total: Any = loss(logits.float(), target)
        for other in others:
            enlarged = functional.interpolate(other.float(), target.shape[1:], mode="bilinear")
            total = total + self._auxiliary_weight * loss(enlarged, target)
        value: LossValue = total
        return value

    def predict(self, outputs: Any) -> dict[str, Tensor]:
        """Return the most likely class of each pixel, uint8 [B, H, W], as `mask`."""
        return {"mask": named_outputs(outputs)[LOGITS].argmax(_CLASS_AXIS).to(torch.uint8)}

    def answer(self, outputs: Any) -> dict[str, Tensor]:
        """Return `mask`, or `probabilities` where a mask of another size is made of them."""
        if self._answers_in_masks:
            return self.predict(outputs)
        return {"probabilities": self.probabilities(outputs)}

    def probabilities(self, outputs: Any) -> Tensor:
        """Return the probability of each class at each pixel, float32 [B, classes, H, W]."""
        shares: Tensor = named_outputs(outputs)[LOGITS].float().softmax(_CLASS_AXIS)
        return shares
