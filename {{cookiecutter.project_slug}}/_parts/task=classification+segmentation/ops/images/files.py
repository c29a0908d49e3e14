"""Images as arrays: decoding and resizing."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from utils.errors import UserError
from utils.logs import log

IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"),
)
"""Of files that are taken for images where a folder is read."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's names, by the number of channels
ORIENTATION = 0x0112  # the EXIF tag: 1 = as stored, 5 to 8 = turned by a quarter
_DEPTH = "images must have 8 bits a channel."
_CONVERT = "Convert the file, for example with ImageMagick: magick IN -depth 8 OUT"
_QUARTER_TURNS = (5, 6, 7, 8)
_DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 to (height, width).

    An image, [h, w, channels], is resized bilinearly, averaging when it gets smaller. What has no
    channels, [h, w], holds class indices: nearest neighbour, since all else invents classes.
    """
    if picture.shape[:2] == tuple(size):
        return picture
    resized = _of_pillow(picture).resize(size[::-1], _kernel(picture))
    return np.asarray(resized).reshape(*size, *picture.shape[2:])


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
    source = _of_pillow(np.pad(picture, padding, mode="edge"))
    result = source.transform(
        (width, height), Image.Transform.AFFINE, coefficients, _kernel(picture)
    )
    return np.asarray(result).reshape(picture.shape)


def _of_pillow(picture: np.ndarray) -> Image.Image:
    is_grey = picture.ndim == 3 and picture.shape[-1] == 1
    return Image.fromarray(picture[..., 0] if is_grey else picture)


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


def visible(image: np.ndarray) -> np.ndarray:
    """Return uint8 [h, w, channels] as people are shown it: RGB, without a fourth channel."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]


def png_of(picture: np.ndarray, most: int | None = None) -> bytes:
    """Return a picture as a PNG file, made smaller if a side has more than `most` pixels."""
    image = Image.fromarray(picture)
    if most is not None:
        image.thumbnail((most, most))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def open_picture(content: bytes, name: object) -> Image.Image:
    """Read the head of an image file; the pixels are decoded later.

    Raises:
        UserError: If this is not an image that Pillow knows, or Pillow would leave a part of it
            out without a word; the message names the file.
    """
    try:
        picture = Image.open(io.BytesIO(content))
        _refuse_what_would_be_cut(picture, name)
        return picture
    except _DAMAGED as error:
        # Pillow's own text shows the buffer's address where the format is unknown.
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "its format is unknown" if unknown else str(error)
        raise UserError(
            f"{name}: not a readable image ({reason}, {len(content)} bytes). Expected: a whole "
            "image file, such as PNG or JPEG. Replace or remove the file."
        ) from error


def _refuse_what_would_be_cut(picture: Image.Image, name: object) -> None:
    tiles = picture.tile if isinstance(picture, ImageFile.ImageFile) else []
    layout = tiles[0].args if tiles else ""  # how the pixels lie in the file
    layout = str(layout[0] if isinstance(layout, tuple) and layout else layout)
    if len(picture.getbands()) > 1 and ";16" in layout:  # 16 bits, cut to the upper 8
        raise UserError(f"{name}: {_DEPTH} Received: 16 bits (mode {layout}). {_CONVERT}")
    if picture.format == "TIFF" and layout.startswith("RGBX"):
        raise UserError(
            f"{name}: the file has {len(layout)} bands, of which the file says nothing for "
            "all but the first three. Expected: 1 (grey), 3 (RGB) or 4 (RGBA, with the TIFF tag "
            "ExtraSamples). Save the file with the bands that the model shall see."
        )


def pages(picture: Image.Image) -> int:
    """Return how many pages or frames a picture's file has, of which the first is used."""
    # Phones put previews behind a JPEG (MPO); nobody takes them for pages.
    return 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))


def load_picture(picture: Image.Image, name: object) -> Image.Image:
    """Decode the pixels of an opened picture, and return it; a UserError if that fails."""
    with _decoding(name):
        picture.load()
    return picture


def is_turned(picture: Image.Image) -> bool:
    """Return whether the EXIF orientation turns or mirrors a picture."""
    return picture.getexif().get(ORIENTATION, 1) in range(2, 9)


def seen_size(picture: Image.Image, name: object) -> tuple[int, int]:
    """Return (height, width) of a picture as people see it, its EXIF orientation applied."""
    width, height = picture.size
    with _decoding(name):  # a PNG holds the orientation behind the pixels
        turned = picture.getexif().get(ORIENTATION, 1) in _QUARTER_TURNS
    return (width, height) if turned else (height, width)


def head_size(picture: Image.Image) -> tuple[int, int]:
    """Return `seen_size` by the head of a file; a tag behind the pixels, as in PNG, is left out."""
    return picture.size[::-1] if picture.format == "PNG" else seen_size(picture, picture.format)


@contextmanager
def opened(path: str, name: object) -> Iterator[Image.Image]:
    """Open a local image file to look at its head; a UserError if it is not one."""
    try:
        with Image.open(path) as picture:
            yield picture
    except _DAMAGED as error:
        raise UserError(f"{name}: not a readable image ({error}). Replace or remove it.") from error


@contextmanager
def _decoding(name: object) -> Iterator[None]:
    """Turn what Pillow says about a damaged file into a UserError."""
    try:
        yield
    except _DAMAGED as error:
        raise UserError(
            f"{name}: the image cannot be decoded ({error}). Expected: a whole image file. "
            "Replace or remove the file."
        ) from error


def picture_to_array(
    picture: Image.Image, name: object, channels: int, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode a picture as people see it, its EXIF orientation applied: uint8 [h, w, channels].

    1 channel is grey, 3 are RGB and 4 are RGBA. Grey, palette and CMYK pictures are converted. For
    1 or 3 channels what is transparent lies over white. JPEG files are decoded at the smallest of
    their built-in scales that is not smaller than `size`, (height, width), which is faster; None
    keeps the picture's own size. The picture, from `open_picture`, is used up.

    Raises:
        UserError: If the pixels cannot be decoded, or have more than 8 bits.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        raise UserError(f"{name}: {_DEPTH} Received: mode {picture.mode}. {_CONVERT}")
    if pages(picture) > 1:
        log.warning("%s: the file has %d pages; the first is used", name, pages(picture))
    if size is not None:
        turned = seen_size(picture, name) != picture.size[::-1]
        picture.draft("RGB", size if turned else size[::-1])
    ImageOps.exif_transpose(load_picture(picture, name), in_place=True)
    if channels < 4 and picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    if picture.mode != MODES[channels]:  # else Pillow would copy it
        picture = picture.convert(MODES[channels])
    if size is not None and picture.size != size[::-1]:
        picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(picture.height, picture.width, channels)


def decode_image(
    content: bytes, name: object, channels: int, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode an image file as `picture_to_array` does: uint8 [height, width, channels]."""
    return picture_to_array(open_picture(content, name), name, channels, size)
