"""Holds every transform to values worked out by hand."""

import numpy as np
import pytest

from ops.augment import brightness_contrast, flip, shift, zoom


def sample(height=4, width=6, count=1):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    masks = rng.integers(0, 3, (count, height, width), dtype=np.uint8)
    return images, masks


def changed(transform, images, masks, rows, **settings):
    """Return the images and the masks that a transform makes of copies."""
    fields = {"image": images.copy(), "mask": masks.copy()}
    fields = transform(fields, rows, **settings)
    return fields["image"], fields["mask"]


def draws(*rows):
    return np.array([[*row, *[0.0] * (4 - len(row))] for row in rows])


def test_flip_mirrors_only_the_chosen_samples():
    images, masks = sample(count=2)
    flipped, flipped_masks = changed(flip, images, masks, draws([0.49], [0.5]))
    assert np.array_equal(flipped[0], images[0, :, ::-1])
    assert np.array_equal(flipped_masks[0], masks[0, :, ::-1])
    assert np.array_equal(flipped[1], images[1])
    assert np.array_equal(flipped_masks[1], masks[1])


def test_flip_vertical():
    images, masks = sample()
    flipped, flipped_masks = changed(flip, images, masks, draws([0.0]), axis="vertical")
    assert np.array_equal(flipped[0], images[0, ::-1])
    assert np.array_equal(flipped_masks[0], masks[0, ::-1])


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        # Of five columns at most two: 0.0 moves two to the left, 0.5 not at all, 0.99 two right.
        (0.0, [3, 4, 5, 5, 5]),
        (0.5, [1, 2, 3, 4, 5]),
        (0.99, [1, 1, 1, 2, 3]),
    ],
)
def test_shift_repeats_the_edge(draw, expected):
    row = np.array([1, 2, 3, 4, 5], dtype=np.uint8)
    masks = np.tile(row, (1, 5, 1))
    images = np.repeat(masks[..., None], 3, axis=3)
    moved, moved_masks = changed(shift, images, masks, draws([0.5, draw]), fraction=0.4)
    assert np.array_equal(moved_masks[0], np.tile(expected, (5, 1)))
    assert np.array_equal(moved[0, ..., 2], np.tile(expected, (5, 1)))


def test_shift_down_fills_the_mask():
    masks = np.arange(1, 5, dtype=np.uint8).reshape(1, 4, 1).repeat(4, axis=2)
    images = np.repeat(masks[..., None], 3, axis=3)
    moved, moved_masks = changed(shift, images, masks, draws([0.99, 0.5]), fraction=0.25, fill=255)
    assert moved_masks[0, :, 0].tolist() == [255, 1, 2, 3]
    assert moved[0, :, 0, 0].tolist() == [1, 1, 2, 3]


def test_shift_both_ways_equals_padding_with_the_edge():
    images, masks = sample(height=7, width=9)
    moved, moved_masks = changed(shift, images, masks, draws([0.99, 0.0]), fraction=0.3)
    padded = np.pad(images[0], ((2, 0), (0, 2), (0, 0)), mode="edge")
    assert np.array_equal(moved[0], padded[:7, 2:])
    assert np.array_equal(moved_masks[0], np.pad(masks[0], ((2, 0), (0, 2)), mode="edge")[:7, 2:])


@pytest.mark.parametrize(
    ("contrast_draw", "brightness_draw", "expected"),
    [
        (0.5, 0.5, [0, 64, 128, 255]),  # nothing changes
        (0.5, 0.999, [51, 115, 179, 255]),  # 0.2 of 255 brighter
        (0.0, 0.5, [64, 96, 128, 191]),  # half the contrast around 128
        (0.999, 0.5, [0, 32, 128, 255]),  # one and a half of it
    ],
)
def test_brightness_contrast(contrast_draw, brightness_draw, expected):
    values = np.array([0, 64, 128, 255], dtype=np.uint8)
    images = np.repeat(values.reshape(1, 1, 4, 1), 3, axis=3)
    masks = np.ones((1, 1, 4), dtype=np.uint8)
    row = draws([contrast_draw, brightness_draw])
    settings = {"brightness": 0.2, "contrast": 0.5}
    result, same_masks = changed(brightness_contrast, images, masks, row, **settings)
    assert result[0, 0, :, 1].tolist() == expected
    assert (same_masks == 1).all()


def test_brightness_contrast_at_the_limits_does_not_wrap_around():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    masks = np.zeros((1, 16, 16), dtype=np.uint8)
    for row in ([0.0, 0.0], [0.0, 0.999], [0.999, 0.0], [0.999, 0.999]):
        settings = {"brightness": 1.0, "contrast": 0.99}
        result, _ = changed(brightness_contrast, images, masks, draws(row), **settings)
        assert (np.diff(result[0, ..., 0].ravel().astype(int)) >= 0).all()


def test_zoom_enlarges_a_window_and_invents_no_label():
    masks = np.zeros((1, 8, 8), dtype=np.uint8)
    masks[0, :4, :4] = 2
    masks[0, :4, 4:] = 5
    images = np.repeat(masks[..., None] * 50, 3, axis=3)
    # Half of the size (share draw 0), the top left corner.
    grown, grown_masks = changed(zoom, images, masks, draws([0.0, 0.0, 0.0, 0.0]), smallest=0.5)
    assert (grown_masks == 2).all()
    assert (grown == 100).all()
    _, masks = sample(height=33, width=31)
    images = np.repeat(masks[..., None], 3, axis=3)
    _, grown_masks = changed(zoom, images, masks, draws([0.1, 0.7, 0.3, 0.9]))
    assert set(np.unique(grown_masks)) <= {0, 1, 2}


@pytest.mark.parametrize("transform", [flip, shift, brightness_contrast, zoom])
def test_a_sample_does_not_depend_on_its_neighbours(transform):
    images, masks = sample(height=16, width=20, count=5)
    rows = np.random.default_rng(2).random((5, 4))
    together = changed(transform, images, masks, rows)
    for index in range(5):
        one = slice(index, index + 1)
        alone = changed(transform, images[one], masks[one], rows[one])
        assert np.array_equal(alone[0][0], together[0][index])
        assert np.array_equal(alone[1][0], together[1][index])


@pytest.mark.parametrize(
    ("transform", "settings"),
    [
        (flip, {"probability": 1.5}),
        (flip, {"axis": "diagonal"}),
        (shift, {"fraction": 0.6}),
        (shift, {"fill": 256}),
        (brightness_contrast, {"brightness": -0.1}),
        (brightness_contrast, {"contrast": 1.0}),
        (zoom, {"smallest": 0.0}),
    ],
)
def test_impossible_settings_are_refused(transform, settings):
    name = next(iter(settings))
    images, masks = sample()
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        changed(transform, images, masks, draws([0.0]), **settings)
