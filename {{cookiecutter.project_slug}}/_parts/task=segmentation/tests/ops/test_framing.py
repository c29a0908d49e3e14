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


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop", "windows"])
def test_borders_are_better_from_probabilities_than_from_classes(fit: str) -> None:
    size = (240, 360)
    framing = Framing((48, 48), fit, scale=0.25)
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = np.clip((90.0 - np.hypot(rows - 121, columns - 177)) / 8, -9, 9)  # of a disc
    share = 255 / (1 + np.exp(-inside))
    seen = framing.framed(share.round().astype(np.uint8)[..., None])[..., 0] / np.float32(255)
    predicted = np.stack([1 - seen, seen], axis=1)
    truth = inside > 0

    def iou(mask: np.ndarray) -> float:
        return float((truth & (mask == 1)).sum() / (truth | (mask == 1)).sum())

    smooth = framing.likeliest(predicted, size)
    rough = framing.joined(predicted.argmax(1).astype(np.uint8), size)
    assert smooth.shape == size
    assert smooth.dtype == np.uint8
    assert iou(rough) < 0.985
    assert 1 - iou(smooth) < 0.4 * (1 - iou(rough))


def test_at_its_own_size_the_likeliest_class_counts() -> None:
    shares = np.random.default_rng(0).random((1, 4, 32, 24), np.float32)
    shares[0, 1] = shares[0, 2]
    likeliest = Framing((32, 24)).likeliest(shares, (32, 24))
    np.testing.assert_array_equal(likeliest, shares[0].argmax(0))
    shares[:] = 0.0  # whose logarithms are not finite
    assert not Framing((32, 24)).likeliest(shares, (64, 64)).any()


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
