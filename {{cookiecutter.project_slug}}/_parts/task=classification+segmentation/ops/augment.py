"""Random changes of a batch, exact to the bit: draws from outside, whole-number arithmetic.

Each transform takes the fields of samples side by side, [B, ...] by name, and draws float64 [B, 4]
in [0, 1), of which it may use up to four for each sample. It returns the fields. It owns what it is
given and may change it in place. What is drawn for one sample never depends on the others.
`data.transforms` names these functions; settings are keyword arguments, and a ValueError refuses
those out of range.

Here `image` is uint8 [B, h, w, channels]. What moves pixels moves all fields of that height and
width alike; those without channels, [B, h, w], hold class indices.
"""

from collections.abc import Callable

import numpy as np

from ops.images.arrays import resize, turned
from utils.checks import check

DRAWS_PER_TRANSFORM = 4
Fields = dict[str, np.ndarray]
Transform = Callable[[Fields, np.ndarray], Fields]

_UNIT = 128  # fixed point of `brightness_contrast`: 255 * 2 * 128 fits in 16 bits


def flip(
    fields: Fields,
    draws: np.ndarray,
    probability: float = 0.5,
    axis: str = "horizontal",
) -> Fields:
    """Mirror samples; the first draw decides.

    Settings:
        probability: The share of samples that are mirrored, 0 to 1.
        axis: "horizontal" swaps left and right, "vertical" top and bottom.
    """
    check("probability", probability, 0 <= probability <= 1, "be 0 to 1")
    known = axis in ("horizontal", "vertical")
    check("axis", repr(axis), known, "be 'horizontal' or 'vertical'")
    mirrored = np.s_[:, ::-1] if axis == "horizontal" else np.s_[::-1]
    for index in np.flatnonzero(draws[:, 0] < probability):
        for pictures in _pictures(fields):
            picture = pictures[index]
            # One channel at a time: NumPy copies single bytes with a stride five times faster than
            # groups of three.
            planes = np.moveaxis(picture, -1, 0) if picture.ndim == 3 else picture[None]
            for plane in planes:
                plane[...] = plane.copy()[mirrored]
    return fields


def shift(
    fields: Fields,
    draws: np.ndarray,
    fraction: float = 0.1,
    fill: int | None = None,
) -> Fields:
    """Move samples by whole pixels; what comes in at the edge repeats the edge.

    The first two draws decide how far down and right.

    Settings:
        fraction: The furthest move over the height and over the width, 0 to 0.5.
        fill: What class indices become where the image was extended, 0 to 255; None repeats their
            edge, too.
    """
    check("fraction", fraction, 0 <= fraction <= 0.5, "be 0 to 0.5")
    check("fill", fill, fill is None or 0 <= fill <= 255, "be 0 to 255 or None")
    pictures = _pictures(fields)
    fits = fill is None or any(array.ndim == 3 for array in pictures)
    check("fill", fill, fits, "be None where samples hold no class indices [h, w]")
    height, width = pictures[0].shape[1:3]
    downs = _whole_steps(draws[:, 0], int(height * fraction))
    rights = _whole_steps(draws[:, 1], int(width * fraction))
    for index in np.flatnonzero(downs | rights):
        for array in pictures:
            _move(array[index], downs[index], rights[index], fill if array.ndim == 3 else None)
    return fields


def brightness_contrast(
    fields: Fields,
    draws: np.ndarray,
    brightness: float = 0.2,
    contrast: float = 0.2,
) -> Fields:
    """Make images brighter or darker and their contrast higher or lower.

    A value v becomes (v - 128) * c + 128 + b, cut off at 0 and 255, with c within 1 +- contrast and
    b within +- 255 * brightness; the first two draws decide.

    Settings:
        brightness: The greatest change over the full range, 0 to 1.
        contrast: The greatest change of the factor, 0 to below 1.
    """
    check("brightness", brightness, 0 <= brightness <= 1, "be 0 to 1")
    check("contrast", contrast, 0 <= contrast < 1, "be 0 to below 1")
    factors = _UNIT + _whole_steps(draws[:, 0], int(contrast * _UNIT))
    offsets = 128 + _whole_steps(draws[:, 1], int(brightness * 255)) - factors
    for image, factor, offset in zip(fields["image"], factors, offsets, strict=True):
        values = image.astype(np.uint16)  # 16 bits: twice as many values to an instruction
        values *= np.uint16(factor)
        values >>= 7
        signed = values.view(np.int16)
        signed += np.int16(offset)
        np.clip(signed, 0, 255, out=signed)
        image[...] = signed
    return fields


def zoom(
    fields: Fields,
    draws: np.ndarray,
    probability: float = 0.5,
    smallest: float = 0.7,
) -> Fields:
    """Enlarge a random part of a sample to its full size (see `ops.images.files.resize`).

    The draws decide whether, how large, and where. The slowest transform here: about 0.2 ms for a
    sample of 128 x 128 pixels.

    Settings:
        probability: The share of samples that are enlarged, 0 to 1.
        smallest: The smallest part over the whole in height and in width, above 0 to 1.
    """
    check("probability", probability, 0 <= probability <= 1, "be 0 to 1")
    check("smallest", smallest, 0 < smallest <= 1, "be above 0 to 1")
    pictures = _pictures(fields)
    height, width = pictures[0].shape[1:3]
    for index in np.flatnonzero(draws[:, 0] < probability):
        share = smallest + (1 - smallest) * draws[index, 1]
        rows, columns = max(1, int(height * share)), max(1, int(width * share))
        top = int(draws[index, 2] * (height - rows + 1))
        left = int(draws[index, 3] * (width - columns + 1))
        window = np.s_[top : top + rows, left : left + columns]
        for array in pictures:
            array[index] = resize(array[index][window], (height, width))
    return fields


def affine(
    fields: Fields,
    draws: np.ndarray,
    degrees: float = 10.0,
    scale: float = 0.1,
) -> Fields:
    """Turn and scale samples about their centre; what comes in at the edge repeats the edge.

    The first draw decides how far, the second one how much larger or smaller.

    Settings:
        degrees: The furthest turn to either side, 0 to 180.
        scale: The greatest change of the size, 0 to 0.5: with 0.1 a sample becomes 0.9 to 1.1 times
            as large.
    """
    check("degrees", degrees, 0 <= degrees <= 180, "be 0 to 180")
    check("scale", scale, 0 <= scale <= 0.5, "be 0 to 0.5")
    angles = np.deg2rad(degrees) * (2 * draws[:, 0] - 1)
    factors = 1 + scale * (2 * draws[:, 1] - 1)
    for array in _pictures(fields):
        for picture, angle, factor in zip(array, angles.tolist(), factors.tolist(), strict=True):
            picture[...] = turned(picture, angle, factor)
    return fields


def _pictures(fields: Fields) -> list[np.ndarray]:
    """Return the images, and all other fields of their height and width."""
    image = fields["image"]
    others = [array for name, array in fields.items() if name != "image" and array.ndim >= 3]
    return [image, *(array for array in others if array.shape[1:3] == image.shape[1:3])]


def _whole_steps(draws: np.ndarray, most: int) -> np.ndarray:
    """Turn draws in [0, 1) into integers from -most to most, each as likely."""
    return np.asarray(np.floor(draws * (2 * most + 1)).astype(np.int64) - most)


def _move(array: np.ndarray, down: int, right: int, fill: int | None) -> None:
    """Move [h, w, ...] in place, repeating the edge or filling with a value."""
    source = array.copy()
    height, width = array.shape[:2]
    top, left = max(down, 0), max(right, 0)
    bottom, end = height + min(down, 0), width + min(right, 0)
    array[top:bottom, left:end] = source[top - down : bottom - down, left - right : end - right]
    array[top:bottom, :left] = array[top:bottom, left : left + 1] if fill is None else fill
    array[top:bottom, end:] = array[top:bottom, end - 1 : end] if fill is None else fill
    array[:top] = array[top] if fill is None else fill
    array[bottom:] = array[bottom - 1] if fill is None else fill
