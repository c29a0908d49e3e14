"""Masks as pictures: turning them like their images, and colouring them for people to see."""

import numpy as np
from PIL import Image, ImageOps

from ops.images.files import ORIENTATION, Picture


def turn_like(mask: Image.Image, picture: Picture) -> Image.Image:
    """Turn a mask that was stored upright as the EXIF orientation turns its picture."""
    carrier = mask.copy()
    carrier.getexif()[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)
    return ImageOps.exif_transpose(carrier)


def overlay(
    image: np.ndarray, mask: np.ndarray, colours: np.ndarray, opacity: float = 0.5
) -> np.ndarray:
    """Lay the colours of a mask over an image; values without a colour stay clear.

    Args:
        image: uint8 [h, w, 3].
        mask: uint8 [h, w] of class indices.
        colours: uint8 [classes, 3].
        opacity: 0 shows the image alone, 1 the colours alone.

    Returns:
        uint8 [h, w, 3], a new array.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    layer = Image.fromarray(np.take(table, mask, axis=0))
    laid = np.asarray(Image.blend(Image.fromarray(image), layer, opacity))
    return np.where((mask < len(colours))[..., None], laid, image)
