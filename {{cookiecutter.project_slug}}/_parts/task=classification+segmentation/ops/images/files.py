"""Image files to arrays: each kind of file, and nothing of it cut or dropped without a word."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ops.images import bands
from ops.images.arrays import resize
from ops.images.bands import Bands
from utils.errors import UserError
from utils.logs import log

Picture = Image.Image | Bands
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"),
)
"""Of files that are taken for images where a folder is read; see `endings_of`."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's names, by the number of channels
ORIENTATION = 0x0112  # the EXIF tag: 1 = as stored, 5 to 8 = turned by a quarter
_DEPTH = "images must have 8 bits a channel."
_CONVERT = "Convert the file, for example with ImageMagick: magick IN -depth 8 OUT"
_QUARTER_TURNS = (5, 6, 7, 8)
_DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises


def endings_of(channels: int) -> tuple[str, ...]:
    """Return what files of images with so many channels end in."""
    return IMAGE_ENDINGS if channels in MODES else (bands.ENDING,)


def open_picture(content: bytes, name: object) -> Picture:
    """Read the head of an image file; the pixels are decoded later.

    Raises:
        UserError: If this is not an image that Pillow or NumPy knows, or Pillow would leave a part
            of it out without a word; the message names the file.
    """
    if bands.is_array(content):
        return Bands(io.BytesIO(content), name)
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
            "ExtraSamples). Save the file with the bands that the model shall see, or, with "
            f"another number of them, as NumPy's {bands.ENDING}."
        )


def pages(picture: Picture) -> int:
    """Return how many pages or frames a picture's file has, of which the first is used."""
    # Phones put previews behind a JPEG (MPO); nobody takes them for pages.
    return 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))


def load_picture(picture: Picture, name: object) -> None:
    """Decode the pixels of an opened picture; a UserError if that fails."""
    with _decoding(name):
        picture.load()


def is_turned(picture: Picture) -> bool:
    """Return whether the EXIF orientation turns or mirrors a picture."""
    return picture.getexif().get(ORIENTATION, 1) in range(2, 9)


def seen_size(picture: Picture, name: object) -> tuple[int, int]:
    """Return (height, width) of a picture as people see it, its EXIF orientation applied."""
    width, height = picture.size
    with _decoding(name):  # a PNG holds the orientation behind the pixels
        turned = picture.getexif().get(ORIENTATION, 1) in _QUARTER_TURNS
    return (width, height) if turned else (height, width)


def head_size(picture: Picture) -> tuple[int, int]:
    """Return `seen_size` by the head of a file; a tag behind the pixels, as in PNG, is left out."""
    return picture.size[::-1] if picture.format == "PNG" else seen_size(picture, picture.format)


@contextmanager
def opened(path: str, name: object) -> Iterator[Picture]:
    """Open a local image file to look at its head; a UserError if it is not one."""
    if path.endswith(bands.ENDING):
        yield Bands(path, name)
        return
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
    picture: Picture, name: object, channels: int, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode a picture as people see it, its EXIF orientation applied: uint8 [h, w, channels].

    1 channel is grey, 3 are RGB and 4 are RGBA. Grey, palette and CMYK pictures are converted. For
    1 or 3 channels what is transparent lies over white; 4 are resized each for itself. Arrays must
    have as many bands. JPEG files are decoded at the smallest of
    their built-in scales that is not smaller than `size`, (height, width), which is faster; None
    keeps the picture's own size. The picture, from `open_picture`, is used up.

    Raises:
        UserError: If the pixels cannot be decoded, or have more than 8 bits or other channels.
    """
    if isinstance(picture, Bands) or channels not in MODES:
        return _bands_of(picture, name, channels, size)
    if picture.mode.startswith("I") or picture.mode == "F":
        raise UserError(f"{name}: {_DEPTH} Received: mode {picture.mode}. {_CONVERT}")
    if pages(picture) > 1:
        log.warning("%s: the file has %d pages; the first is used", name, pages(picture))
    if size is not None:
        turned = seen_size(picture, name) != picture.size[::-1]
        picture.draft("RGB", size if turned else size[::-1])
    load_picture(picture, name)
    ImageOps.exif_transpose(picture, in_place=True)
    if channels < 4 and picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    if picture.mode != MODES[channels]:  # else Pillow would copy it
        picture = picture.convert(MODES[channels])
    if size is not None and picture.size != size[::-1] and channels < 4:
        picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(picture).reshape(picture.height, picture.width, channels)
    return pixels if size is None else resize(pixels, size)


def _bands_of(
    picture: Picture, name: object, channels: int, size: tuple[int, int] | None
) -> np.ndarray:
    if not isinstance(picture, Bands) or picture.pixels.shape[2] != channels:
        found = picture.pixels.shape[2] if isinstance(picture, Bands) else len(picture.getbands())
        raise UserError(
            f"{name}: {found} bands, the model takes {channels}. Expected: a {bands.ENDING} file, "
            f"uint8 [height, width, {channels}]; or set data.source.channels."
        )
    return picture.pixels if size is None else resize(picture.pixels, size)


def decode_image(
    content: bytes, name: object, channels: int, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode an image file as `picture_to_array` does: uint8 [height, width, channels]."""
    return picture_to_array(open_picture(content, name), name, channels, size)
