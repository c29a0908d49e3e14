import numpy as np


def jitter(fields, draws, strength: float = 0.2, channels: list = [0, 1, 2], clip: bool = True):
    # draws: uniform numbers in [0, 1), one row per image
    images = fields["image"]
    out = images.astype(np.float32)
    for i in range(len(images)):
        for c in channels:
            s = 1 + strength * (2 * draws[i, c] - 1)
            out[i, ..., c] = out[i, ..., c] * s
    if clip == True:
        out = np.clip(out, 0, 255)
    fields["image"] = out.astype(images.dtype)
    return fields
