"""What a segmentation model is given and what its outputs mean, in PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ops.loss_functions import Loss
from utils.errors import UserError

_CLASS_AXIS = 1


class ModelIO:
    """The model takes images, float32 [B, 3, H, W], and returns logits, [B, classes, H, W]."""

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
        self._shift = torch.tensor(mean).mul_(255)
        self._scale = torch.tensor(std).mul_(255)
        self._rows: dict[tuple[torch.device, int], tuple[Tensor, Tensor]] = {}

    def inputs(self, fields: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return what the model is called with: uint8 [B, H, W, 3] as normalised [B, 3, H, W].

        The bytes travel to the device as they are; scaling there is faster than moving floats.
        """
        images = fields["image"]
        batch, height, width, channels = images.shape
        shift, scale = self._row(images.device, width)
        rows = images.view(batch, height, width * channels).to(torch.float32)
        rows.sub_(shift).div_(scale)
        # Permuted is what channels_last means: nothing is copied.
        return (rows.view(batch, height, width, channels).permute(0, 3, 1, 2),)

    def check(self, outputs: Any) -> None:
        """Raise a UserError if a model returned anything but logits for some images."""
        height, width = self._image_size
        expected = ["batch", self._num_classes, height, width]
        shape = list(outputs.shape) if isinstance(outputs, Tensor) else None
        if shape is None or shape[1:] != expected[1:]:
            found = f"a {type(outputs).__name__}" if shape is None else f"the shape {shape}"
            raise UserError(
                f"the model returned {found} for images of {height}x{width}; expected logits "
                f"[batch, classes, height, width], here [{', '.join(map(str, expected))}]."
            )

    def loss(self, loss: Loss, outputs: Tensor, fields: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a batch; a loss takes logits in float32 and classes in int64."""
        return loss(outputs.float(), fields["mask"].long())

    def predict(self, outputs: Tensor) -> dict[str, Tensor]:
        """Return the most likely class of each pixel, uint8 [B, H, W], as `mask`."""
        return {"mask": outputs.argmax(_CLASS_AXIS).to(torch.uint8)}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the probability of each class at each pixel, float32 [B, classes, H, W]."""
        return outputs.float().softmax(_CLASS_AXIS)

    def _row(self, device: torch.device, width: int) -> tuple[Tensor, Tensor]:
        # Channels lie side by side. Given three numbers for the three channels of a pixel, a CPU
        # works through runs of three; given a whole row it is five times as fast.
        key = (device, width)
        if key not in self._rows:
            both = (self._shift, self._scale)
            self._rows[key] = tuple(v.to(device).repeat(width) for v in both)  # type: ignore[assignment]
        return self._rows[key]
