"""A sampler of one's own: images of the first class come three times as often as any other."""

import numpy as np


def rare_first(fields: dict[str, np.ndarray]) -> np.ndarray:
    """Return a weight for each sample."""
    return np.where(fields["label"] == 0, 3.0, 1.0)
