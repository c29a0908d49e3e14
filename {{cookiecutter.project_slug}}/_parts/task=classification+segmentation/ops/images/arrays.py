"""Images as arrays, uint8 [h, w, channels]: resizing, turning and showing them."""

import io
import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from utils.errors import UserError


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 to (height, width).

    An image, [h, w, channels], is resized bilinearly, averaging when it gets smaller. What has no
    channels, [h, w], holds class indices: nearest neighbour, since all else invents classes.
    """
    if picture.shape[:2] == tuple(size):
        return picture
    kernel = _kernel(picture)
    return _changed(picture, lambda image: image.resize(size[::-1], kernel))


def turned(picture: np.ndarray, angle: float, factor: float) -> np.ndarray:
    """Turn uint8 [h, w, channels] or [h, w] about its centre, and enlarge it by a factor.

    The angle is in radians, against the clock. The edge is repeated where nothing was; kernels are
    those of `resize`.
    """
    height, width = picture.shape[:2]
    reach = math.hypot(height, width) / 2 / factor  # the furthest pixel from the centre
    border = math.ceil(reach - min(height, width) / 2) + 1
    padding = [(border, border), (border, border), (0, 0)][: picture.ndim]
    cosine, sine = math.cos(angle) / factor, math.sin(angle) / factor
    right, down = width / 2, height / 2
    # Pillow is given where each pixel of the result comes from.
    origin = (
        right + border - cosine * right + sine * down,
        down + border - sine * right - cosine * down,
    )
    coefficients = (cosine, -sine, origin[0], sine, cosine, origin[1])
    form = ((width, height), Image.Transform.AFFINE, coefficients, _kernel(picture))
    return _changed(np.pad(picture, padding, mode="edge"), lambda image: image.transform(*form))


def _changed(picture: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Change a picture with Pillow, which would take the second or fourth band for opacity."""
    if picture.ndim == 2 or picture.shape[2] == 3:
        return np.asarray(change(Image.fromarray(picture)))
    planes = np.moveaxis(picture, -1, 0)
    return np.stack([np.asarray(change(Image.fromarray(plane))) for plane in planes], axis=-1)


def _kernel(picture: np.ndarray) -> Image.Resampling:
    return Image.Resampling.BILINEAR if picture.ndim == 3 else Image.Resampling.NEAREST


def checked_images(images: np.ndarray, channels: int) -> None:
    """Raise a UserError for anything but one or more images, uint8 [N, h, w, channels]."""
    is_batch = images.ndim == 4 and images.shape[-1] == channels and len(images)
    if images.dtype != np.uint8 or not is_batch:
        raise UserError(
            f"images: received {images.dtype} {list(images.shape)}, expected uint8 "
            f"[N, height, width, {channels}] with at least one image."
        )


def per_channel(
    setting: str, value: float | Sequence[float], channels: int, above: float | None = None
) -> tuple[float, ...]:
    """Return a number for each channel; a single one holds for all.

    It is a UserError if there is another number of them, or one is not greater than `above`.
    """
    numbers = tuple(value) if isinstance(value, Sequence) else (value,) * channels
    if len(numbers) != channels:
        raise UserError(
            f"{setting} must be one number, or one for each of the {channels} channels of the "
            f"images. Received: {list(numbers)}"
        )
    if above is not None and min(numbers) <= above:
        raise UserError(f"{setting} must be greater than {above:g}. Received: {list(numbers)}")
    return numbers


def checked_shown(shown: Sequence[int] | None, channels: int) -> tuple[int, ...]:
    """Return the channels that people see as red, green and blue; None: the first three.

    It is a UserError if these are not three of the image's channels, from 0.
    """
    chosen = tuple(shown) if shown is not None else (0, 1, 2)
    if shown is not None and (len(chosen) != 3 or not set(chosen) <= set(range(channels))):
        raise UserError(
            f"task.shown_channels must be three numbers of 0 to {channels - 1}. Received: {shown}"
        )
    return chosen


def visible(image: np.ndarray, channels: Sequence[int] = (0, 1, 2)) -> np.ndarray:
    """Return uint8 [h, w, channels] as people are shown it: some channels as red, green and blue.

    An image that has fewer than three is shown by its first one, in grey.
    """
    return image[..., list(channels) if image.shape[2] > 2 else [0, 0, 0]]


def png_of(picture: np.ndarray, most: int | None = None) -> bytes:
    """Return a picture as a PNG file, made smaller if a side has more than `most` pixels."""
    image = Image.fromarray(picture)
    if most is not None:
        image.thumbnail((most, most))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
