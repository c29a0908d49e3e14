"""A batch transform of one's own: the left half of an image comes from another one, or not."""

import numpy as np


def half_and_half(
    fields: dict[str, np.ndarray], draws: np.ndarray, num_classes: int, share: float = 0.3
) -> dict[str, np.ndarray]:
    """Mix a share of the images, uint8 [B, h, w, channels], with the one before in the batch."""
    chosen = draws[:, 0] < share
    images, half = fields["image"], fields["image"].shape[2] // 2
    images[chosen, :, :half] = np.roll(images, 1, axis=0)[chosen, :, :half]
    classes = np.eye(num_classes, dtype=np.float32)[fields["label"]]
    mixed = (classes + np.roll(classes, 1, axis=0)) / 2
    return {"image": images, "label": np.where(chosen[:, None], mixed, classes)}
