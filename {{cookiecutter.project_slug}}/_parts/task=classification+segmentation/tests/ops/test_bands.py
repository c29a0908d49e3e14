"""Images of any number of bands: each is an image of its own, and none is shown by chance."""

import io

import numpy as np
import pytest
from PIL import Image

from ops.images.arrays import checked_shown, resize, turned, visible
from ops.images.files import decode_image, endings_of
from utils.errors import UserError

RANDOM = np.random.default_rng(0)


def content_of(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_arrays_are_images_of_any_number_of_bands(channels):
    image = RANDOM.integers(0, 256, (9, 12, channels), dtype=np.uint8)
    assert np.array_equal(decode_image(content_of(image), "a.npy", channels), image)
    small = decode_image(content_of(image), "a.npy", channels, (5, 6))
    assert small.shape == (5, 6, channels)
    for band in range(channels):  # whatever the others hold
        alone = decode_image(content_of(image[..., [band]]), "a.npy", 1, (5, 6))
        assert np.abs(small[..., [band]].astype(int) - alone).max() <= 1
        turned_band = turned(image, 0.3, 1.1)[..., [band]].astype(int)
        assert np.abs(turned_band - turned(image[..., [band]], 0.3, 1.1)).max() <= 1


def test_a_fourth_band_is_no_opacity_where_images_are_resized():
    image = np.full((8, 8, 4), 200, np.uint8)
    image[:, ::2, 3] = 0
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    for small in (resize(image, (4, 4)), decode_image(buffer.getvalue(), "a.png", 4, (4, 4))):
        assert (small[..., :3] == 200).all()
        assert 80 <= small[..., 3].mean() <= 120


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (content_of(np.zeros((4, 4, 5), np.uint8)), "5 bands, the model takes 6"),
        (content_of(np.zeros((4, 4), np.uint8)), r"received uint8 \[4, 4\], expected uint8"),
        (content_of(np.zeros((4, 4, 6), np.uint16)), "received uint16 .* one scale for all"),
        (content_of(np.zeros((4, 4, 6), np.uint8))[:150], "not a readable array"),
        (content_of(np.array([{}], object)), "not a readable array"),
        (b"BM nothing", "not a readable image"),
    ],
)
def test_other_files_are_refused(content, message):
    with pytest.raises(UserError, match=rf"^a\.npy: {message}"):
        decode_image(content, "a.npy", 6)


def test_a_picture_has_too_few_bands():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    with pytest.raises(UserError, match=r"a\.png: 3 bands, the model takes 6\. Expected: a \.npy"):
        decode_image(buffer.getvalue(), "a.png", 6)
    assert endings_of(6) == (".npy",)
    assert ".npy" not in endings_of(3)


def test_people_see_three_bands():
    image = np.arange(7, dtype=np.uint8) * np.ones((2, 2, 1), np.uint8)
    assert visible(image)[0, 0].tolist() == [0, 1, 2]
    assert visible(image, checked_shown([5, 3, 1], 7))[0, 0].tolist() == [5, 3, 1]
    assert visible(image[..., 3:5])[0, 0].tolist() == [3, 3, 3]
    assert checked_shown(None, 1) == (0, 1, 2)
    for wrong in ([0, 1], [0, 1, 7], [-1, 0, 1]):
        with pytest.raises(
            UserError, match=r"task\.shown_channels must be three numbers of 0 to 6"
        ):
            checked_shown(wrong, 7)
