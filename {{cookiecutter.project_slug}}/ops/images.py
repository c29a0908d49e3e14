"""Images and masks as arrays: decoding, resizing, and colouring masks for people to see."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from utils.errors import UserError

_ORIENTATION = 0x0112  # the EXIF tag: 1 = as stored, 5 to 8 = turned by a quarter
_QUARTER_TURNS = (5, 6, 7, 8)
_DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 [h, w, 3] bilinearly to (height, width), averaging when it gets smaller."""
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 [h, w] to (height, width) by nearest neighbour: all else invents labels."""
    if mask.shape == tuple(size):
        return mask
    return np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))


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
    table = np.zeros((256, 4), dtype=np.float32)
    table[: len(colours), :3] = colours
    table[: len(colours), 3] = opacity
    layer = table[mask]
    alpha = layer[..., 3:]
    return np.asarray(np.rint(image * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8))


def open_picture(content: bytes, name: str) -> Image.Image:
    """Read the head of an image file; the pixels are decoded later.

    Raises:
        UserError: If this is not an image that Pillow knows; the message names the file.
    """
    try:
        return Image.open(io.BytesIO(content))
    except _DAMAGED as error:
        # Pillow's own text shows the buffer's address where the format is unknown.
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "its format is unknown" if unknown else str(error)
        raise UserError(
            f"{name}: not a readable image ({reason}, {len(content)} bytes). Expected: a whole "
            "image file, such as PNG or JPEG. Replace or remove the file."
        ) from error


def load_picture(picture: Image.Image, name: str) -> Image.Image:
    """Decode the pixels of an opened picture, and return it; a UserError if that fails."""
    with _decoding(name):
        picture.load()
    return picture


def seen_size(picture: Image.Image, name: str) -> tuple[int, int]:
    """Return (height, width) of a picture as people see it, its EXIF orientation applied."""
    width, height = picture.size
    with _decoding(name):  # a PNG holds the orientation behind the pixels
        turned = picture.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS
    return (width, height) if turned else (height, width)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn what Pillow says about a damaged file into a UserError."""
    try:
        yield
    except _DAMAGED as error:
        raise UserError(
            f"{name}: the image cannot be decoded ({error}). Expected: a whole image file. "
            "Replace or remove the file."
        ) from error


def turn_like(mask: Image.Image, picture: Image.Image) -> Image.Image:
    """Turn a mask that was stored upright as the EXIF orientation turns its picture."""
    carrier = mask.copy()
    carrier.getexif()[_ORIENTATION] = picture.getexif().get(_ORIENTATION, 1)
    return ImageOps.exif_transpose(carrier)


def picture_to_rgb(
    picture: Image.Image, name: str, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode a picture as people see it, turned by its EXIF orientation: uint8 [height, width, 3].

    Grey, palette and CMYK pictures are converted; transparency is dropped. JPEG files are decoded
    at the smallest of their built-in scales that is not smaller than `size`, (height, width), which
    is faster; None keeps the picture's own size. The picture, from `open_picture`, is used up.

    Raises:
        UserError: If the pixels cannot be decoded, or have more than 8 bits.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        raise UserError(
            f"{name}: images must have 8 bits a channel. Received: mode {picture.mode}. "
            "Convert the file, for example with ImageMagick: magick IN -depth 8 OUT"
        )
    if size is not None:
        turned = seen_size(picture, name) != picture.size[::-1]
        picture.draft("RGB", size if turned else size[::-1])
    upright = ImageOps.exif_transpose(load_picture(picture, name)).convert("RGB")
    if size is not None and upright.size != size[::-1]:
        upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(upright)


def decode_image(content: bytes, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode an image file as `picture_to_rgb` does: uint8 [height, width, 3]."""
    return picture_to_rgb(open_picture(content, name), name, size)
