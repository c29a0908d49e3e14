"""Nothing in an image file is cut or dropped without a word."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ops.images.files import decode_image
from utils.errors import UserError
from utils.logs import log


def file_of(picture, form="PNG", **settings):
    buffer = io.BytesIO()
    picture.save(buffer, form, **settings)
    return buffer.getvalue()


def deep_png(colour_type, values):
    """Return a PNG of one row with 16 bits a channel, which Pillow cannot write."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    pixels = np.asarray(values, ">u2")
    head = struct.pack(">IIBBBBB", len(pixels), 1, 16, colour_type, 0, 0, 0)
    row = zlib.compress(b"\0" + pixels.tobytes())
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", row) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize(("colour_type", "width"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_16_bits_are_refused(colour_type, width, channels):
    content = deep_png(colour_type, [[4094] * width, [1] * width])
    with pytest.raises(UserError, match=r"scan\.png: images must have 8 bits .*Convert"):
        decode_image(content, "scan.png", channels)


def four_bands():
    """Return a TIFF file of four bands that says nothing about the fourth."""
    content = bytearray(file_of(Image.new("RGBA", (4, 4), (1, 2, 3, 4)), "TIFF"))
    offset = struct.unpack_from("<I", content, 4)[0]
    for number in range(struct.unpack_from("<H", content, offset)[0]):
        entry = offset + 2 + 12 * number
        if struct.unpack_from("<H", content, entry)[0] == 338:  # ExtraSamples
            struct.pack_into("<H", content, entry + 8, 0)  # unspecified
    return bytes(content)


def test_bands_without_a_meaning_are_refused():
    with pytest.raises(UserError, match=r"bands\.tif: the file has 4 bands, .* ExtraSamples"):
        decode_image(four_bands(), "bands.tif", 3)


def test_what_is_transparent_lies_over_white():
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0] = [(200, 100, 50, 255), (200, 100, 50, 0), (0, 0, 0, 128)]
    hidden = pixels.copy()
    hidden[0, 1, :3] = (9, 90, 190)  # looks the same
    images = [decode_image(file_of(Image.fromarray(p)), "a.png", 3) for p in (pixels, hidden)]
    assert np.array_equal(images[0], images[1])
    assert images[0][0, 0].tolist() == [200, 100, 50]
    assert images[0][0, 1].tolist() == [255, 255, 255]
    assert abs(int(images[0][0, 2, 0]) - 127) <= 1
    assert np.array_equal(decode_image(file_of(Image.fromarray(pixels)), "a.png", 4), pixels)


def test_a_transparent_colour_of_a_palette_lies_over_white_too():
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    image = decode_image(file_of(picture, transparency=1), "a.png", 3)
    assert image[0].tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP", "PNG"])
def test_further_pages_are_told(form, caplog, monkeypatch):
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.WARNING, log.name)
    first, *others = [Image.new("RGB", (6, 6), (90 * n, 0, 0)) for n in range(3)]
    content = file_of(first, form, save_all=True, append_images=others)
    assert decode_image(content, "film.x", 3).max() <= 4  # the first is black
    assert "film.x: the file has 3 pages; the first is used" in caplog.text
    caplog.clear()
    decode_image(file_of(first, form), "one.x", 3)
    assert caplog.text == ""
