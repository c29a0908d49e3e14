"""Windows of a picture cover it, and what is predicted for them is joined without a seam."""

from typing import Any

import numpy as np
import pytest

from ops.images.framing import Framing
from utils.errors import UserError

SIZES = [(2000, 2000), (70, 300), (64, 64), (65, 64), (20, 30), (1, 500)]
FITS = ["stretch", "pad", "crop", "windows"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
def test_each_pixel_is_in_the_core_of_one_window(
    fit: str, size: tuple[int, int], overlap: float
) -> None:
    framing = Framing((64, 48), fit, overlap)
    height, width = framing.scaled(size)
    counts = np.zeros((height, width), int)
    for window in framing.windows(size):
        first, start, last, end = window.core
        counts[first:last, start:end] += 1
        assert window.top <= first
        assert last <= min(window.top + 64, height)
        assert window.left <= start
        assert end <= min(window.left + 48, width)
    assert (counts == 1).all()


@pytest.mark.parametrize("size", SIZES)
def test_windows_overlap_and_keep_away_from_their_borders(size: tuple[int, int]) -> None:
    framing = Framing((64, 64), "windows", overlap=0.5)
    for window in framing.windows(size):
        first, start, last, end = window.core
        for inner, outer, length in (
            ((first, last), (window.top, window.top + 64), size[0]),
            ((start, end), (window.left, window.left + 64), size[1]),
        ):
            assert inner[0] == 0 or inner[0] - outer[0] >= 16
            assert inner[1] == length or outer[1] - inner[1] >= 16


@pytest.mark.parametrize("fit", FITS)
def test_what_is_cut_is_joined_again(fit: str) -> None:
    picture = np.random.default_rng(0).integers(0, 3, (150, 90, 1), dtype=np.uint8)
    framing = Framing((64, 48), fit)
    parts = framing.framed(picture)
    assert parts.shape == (len(framing.windows((150, 90))), 64, 48, 1)
    joined = framing.joined(parts[..., 0], (150, 90))
    assert joined.shape == (150, 90)
    if fit == "windows":  # nothing is resized
        np.testing.assert_array_equal(joined, picture[..., 0])


def test_scaled_sizes() -> None:
    assert Framing((64, 64), "stretch").scaled((10, 500)) == (64, 64)
    assert Framing((64, 64), "pad").scaled((100, 200)) == (32, 64)
    assert Framing((64, 64), "crop").scaled((100, 200)) == (64, 128)
    assert Framing((64, 64), "windows", scale=0.5).scaled((100, 201)) == (50, 100)
    assert len(Framing((64, 64), "crop", overlap=0.0).windows((100, 200))) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("cover", "must be one of stretch, pad, crop, windows. Received: 'cover'"),
        ({"fit": "pad", "overlap": 1.0}, "overlap must be a share"),
        ({"overlap": -0.1}, "overlap must be a share"),
        ({"scale": 0.0}, "scale must be above 0"),
        ({"stride": 3}, "framing has no stride. Known: fit, overlap, scale"),
    ],
)
def test_impossible_settings_are_refused(settings: str | dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Framing.of(settings, (64, 64))
