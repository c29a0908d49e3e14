"""What a classification model is given and what its outputs mean, in PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ops.loss_functions import Loss
from ops.normalise import Normalise
from ops.outputs import LOGITS, check_outputs, named_outputs
from ops.weighted_loss import LossValue


class ModelIO:
    """The model takes images, float32 [B, channels, H, W], and returns logits, [B, classes].

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
        self._normalise = Normalise(mean, std)
        self._auxiliary_weight = auxiliary_weight

    def inputs(self, fields: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return what the model is called with: the images, normalised."""
        return (self._normalise(fields["image"]),)

    def check(self, outputs: Any) -> None:
        """Raise a UserError if a model returned anything but logits for some images."""
        height, width = self._image_size
        shape = lambda o: list(o.shape) if isinstance(o, Tensor) else None  # noqa: E731
        expected = ("batch", self._num_classes)
        check_outputs(outputs, expected, f"images of {height}x{width}", shape)

    def loss(self, loss: Loss, outputs: Any, fields: Mapping[str, Tensor]) -> LossValue:
        """Return the loss of a batch.

        A loss takes logits in float32, and classes in int64 or, where samples are mixed, the share
        of each class in float32.
        """
        logits, *others = named_outputs(outputs).values()
        target = fields["label"]
        target = target if target.is_floating_point() else target.long()
        total: Any = loss(logits.float(), target)
        for other in others:
            total = total + self._auxiliary_weight * loss(other.float(), target)
        value: LossValue = total
        return value

    def predict(self, outputs: Any) -> dict[str, Tensor]:
        """Return the likeliest class, `label`, int32 [B], and `probabilities`, [B, classes]."""
        shares = self.probabilities(outputs)
        return {"label": shares.argmax(dim=1).to(torch.int32), "probabilities": shares}

    answer = predict  # the task's `decode` and `write` need nothing else

    def probabilities(self, outputs: Any) -> Tensor:
        """Return the probability of each class, float32 [B, classes]."""
        shares: Tensor = named_outputs(outputs)[LOGITS].float().softmax(dim=1)
        return shares
