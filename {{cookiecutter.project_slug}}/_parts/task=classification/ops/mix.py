"""Random mixtures of the samples of a batch, for `data.batch_transforms`.

Each takes the fields of a whole batch, with `image`, uint8 [B, h, w, channels], and draws, float64
[B, 4] in [0, 1). A sample is mixed with the one before it in the batch, whose order is random. The
`label` becomes the share of each class, float32 [B, C], which the losses take as well. The images
stay whole numbers of 8 bits, and the shares are those that were mixed.
"""

from functools import cache

import numpy as np

from ops.augment import Fields
from utils.checks import check

_UNIT = 256  # shares are multiples of 1 / 256, so that the arithmetic is exact
_POINTS = 1025  # of the table of the beta distribution


def mixup(fields: Fields, draws: np.ndarray, num_classes: int, alpha: float = 0.2) -> Fields:
    """Add a share of another sample to each one (Zhang et al., 2018, arXiv:1710.09412).

    Settings:
        num_classes: How many classes there are; the executor fills it in.
        alpha: Shape of the share's distribution, beta(alpha, alpha), greater than 0: near 0 hardly
            anything is mixed, at 1 all shares are equally likely. Of the two samples, the first one
            has the greater share.
    """
    check("alpha", alpha, alpha > 0, "be greater than 0")
    images = fields["image"]
    parts = np.rint(_lesser_share(draws[:, 0], alpha) * _UNIT).astype(np.uint16)
    each = parts[:, None, None, None]
    mixed = images * (_UNIT - each) + np.roll(images, 1, axis=0) * each
    fields["image"] = (mixed >> 8).astype(np.uint8)
    fields["label"] = _mixed_labels(fields["label"], parts / _UNIT, num_classes)
    return fields


def cutmix(fields: Fields, draws: np.ndarray, num_classes: int, alpha: float = 1.0) -> Fields:
    """Paste a rectangle of another sample into each one (Yun et al., 2019, arXiv:1905.04899).

    Settings:
        num_classes: How many classes there are; the executor fills it in.
        alpha: Shape of the distribution of the rectangle's share of the area, beta(alpha, alpha),
            greater than 0.
    """
    check("alpha", alpha, alpha > 0, "be greater than 0")
    images = fields["image"]
    others = np.roll(images, 1, axis=0)
    height, width = images.shape[1:3]
    lesser = _lesser_share(draws[:, 0], alpha)
    sides = np.sqrt(np.where(draws[:, 1] < 0.5, lesser, 1 - lesser))
    rows, columns = np.rint(height * sides).astype(int), np.rint(width * sides).astype(int)
    tops = (draws[:, 2] * (height - rows + 1)).astype(int)
    lefts = (draws[:, 3] * (width - columns + 1)).astype(int)
    for image, other, top, left, down, right in zip(
        images, others, tops, lefts, rows, columns, strict=True
    ):
        image[top : top + down, left : left + right] = other[top : top + down, left : left + right]
    shares = rows * columns / (height * width)
    fields["label"] = _mixed_labels(fields["label"], shares, num_classes)
    return fields


def _mixed_labels(labels: np.ndarray, shares: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the share of each class, float32 [B, C]; labels are class indices, or shares."""
    own = labels if labels.ndim == 2 else np.eye(num_classes, dtype=np.float32)[labels]
    part = shares.astype(np.float32)[:, None]
    return np.asarray(own * (1 - part) + np.roll(own, 1, axis=0) * part)


def _lesser_share(draws: np.ndarray, alpha: float) -> np.ndarray:
    """Turn draws in [0, 1) into the lesser of the two shares that beta(alpha, alpha) gives."""
    roots, areas = _lesser_half(alpha)
    return np.asarray(np.interp(draws, areas, roots) ** (1 / alpha))


@cache
def _lesser_half(alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x ** alpha for x from 0 to 1/2, and which part of that half's area is below x.

    The density is infinite at 0 where alpha is less than 1; over x ** alpha it is not.
    """
    roots = np.linspace(0.0, 0.5**alpha, _POINTS)
    density = (1 - roots ** (1 / alpha)) ** (alpha - 1)
    areas = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return roots, areas / areas[-1]
