"""How often a training sample comes: the samplers that `data.sampler` can name.

A sampler is given all training samples, [N, ...] by the name of their fields, and returns a weight
for each, float64 [N], 0 or greater; or None for each sample once an epoch. An epoch has N samples
in any case: a sample of twice the weight comes twice as often.
"""

import numpy as np

from dataloader.sample import Fields
from utils.checks import check


def uniform(fields: Fields) -> None:
    """Take each sample once an epoch, in random order."""


def balanced(fields: Fields, field: str = "label", power: float = 1.0) -> np.ndarray:
    """Take each class as often as any other.

    Settings:
        field: The field that holds the class, a whole number for each sample.
        power: 1 balances the classes; 0 leaves them as frequent as they are; between the two, a
            class comes as often as the power 1 - `power` of its number of samples.
    """
    check("power", power, 0 <= power <= 1, "be 0 to 1")
    classes = _column(fields, field)
    check("field", field, classes.dtype.kind in "iu", "name a field of whole numbers")
    _, places, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return np.asarray(counts[places] ** -float(power))


def weighted(fields: Fields, field: str = "weight") -> np.ndarray:
    """Take samples by a weight of their own.

    Settings:
        field: The field that holds the weight, 0 or greater, a number for each sample.
    """
    weights = _column(fields, field).astype(np.float64)
    fits = bool(np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0)
    check("field", field, fits, "name weights of 0 or greater, not all of them 0")
    return weights


def _column(fields: Fields, name: str) -> np.ndarray:
    known = [key for key, array in fields.items() if array.ndim == 1]
    check("field", name, name in known, f"name a field of one number a sample: {known or 'none'}")
    return fields[name]
