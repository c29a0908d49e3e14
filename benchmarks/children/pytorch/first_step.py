"""A model for `main.py train` that ends the process when the first optimizer step is done.

The second training step begins where the first, its update and its records are done. The process
ends at once, without the evaluation, the report and the clearing up that no bare script does.
"""

import os

from model.unet import UNet
from torch import Tensor

_forward_passes = 0


class FirstStepUNet(UNet):
    """The project's U-Net for one training step."""

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, C, H, W] for images [B, 3, H, W]."""
        global _forward_passes
        if self.training:
            _forward_passes += 1
            if _forward_passes > 1:
                os._exit(0)
        return super().forward(images)
