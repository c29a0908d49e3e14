"""Turning and scaling, held to values worked out by hand."""

import math

import numpy as np
import pytest

from ops.augment import affine
from ops.images.arrays import turned


def pictures(count: int = 1, side: int = 9) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_nothing_and_quarter_turns_move_whole_pixels():
    (picture,) = pictures()
    assert np.array_equal(turned(picture, 0.0, 1.0), picture)
    for quarters in (1, 2, 3):
        angle = quarters * math.pi / 2
        for one in (picture, picture[..., 0], picture[..., :1]):
            found = turned(one, angle, 1.0).astype(int)
            assert np.abs(found - np.rot90(one, quarters)).max() <= 1


def test_a_factor_enlarges_about_the_centre():
    picture = np.zeros((8, 8, 1), np.uint8)
    picture[3:5, 3:5] = 200
    larger = turned(picture, 0.0, 2.0)[..., 0]
    assert (larger[3:5, 3:5] == 200).all()
    assert np.array_equal(larger, larger[::-1])
    assert larger.astype(int).sum() == pytest.approx(4 * 4 * 200, rel=0.05)
    smaller = turned(picture, 0.0, 0.5)[..., 0]
    assert smaller.astype(int).sum() == pytest.approx(200, rel=0.3)


def test_the_edge_is_repeated():
    picture = np.full((6, 10, 3), 77, np.uint8)
    for angle in (0.3, 1.2, 2.9):
        assert (turned(picture, angle, 0.5) == 77).all()


def test_class_indices_are_moved_with_their_image_and_never_mixed():
    side = 32
    labels = np.zeros((1, side, side), np.uint8)
    labels[0, :16, :16], labels[0, 16:, 16:] = 2, 7
    fields = {"image": np.repeat(labels[..., None] * 30, 3, axis=3), "classes": labels.copy()}
    draws = np.array([[0.8, 0.9, 0.0, 0.0]])
    found = affine(fields, draws, degrees=45.0, scale=0.2)
    assert set(np.unique(found["classes"])) == {0, 2, 7}
    assert not np.array_equal(found["classes"], labels)
    image, classes = found["image"][0, ..., 0].astype(int), found["classes"][0].astype(int)
    same = np.abs(image - 30 * classes) <= 30
    assert same.mean() > 0.9  # bilinear against nearest: they differ at edges only


def test_draws_decide_how_far_and_a_sample_does_not_depend_on_its_neighbours():
    images = pictures(3, 16)
    rows = np.array([[0.5, 0.5, 0, 0], [0.0, 0.5, 0, 0], [0.5, 1.0, 0, 0]])
    found = affine({"image": images.copy()}, rows, degrees=30.0, scale=0.5)["image"]
    assert np.array_equal(found[0], images[0])
    assert np.array_equal(found[1], turned(images[1], math.radians(-30), 1.0))
    assert np.array_equal(found[2], turned(images[2], 0.0, 1.5))
    alone = affine({"image": images[1:2].copy()}, rows[1:2], degrees=30.0, scale=0.5)["image"]
    assert np.array_equal(alone[0], found[1])


@pytest.mark.parametrize(
    ("settings", "name"), [({"degrees": 181.0}, "degrees"), ({"scale": 0.6}, "scale")]
)
def test_impossible_settings_are_refused(settings, name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        affine({"image": pictures()}, np.zeros((1, 4)), **settings)
