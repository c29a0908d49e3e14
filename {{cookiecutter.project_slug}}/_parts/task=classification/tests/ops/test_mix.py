"""Mixtures of samples: the pixels are what the labels say."""

import numpy as np
import pytest

from ops.mix import cutmix, mixup


def batch(count: int = 64, height: int = 12, width: int = 10) -> dict[str, np.ndarray]:
    """Images of one value each, a class for each value."""
    labels = np.arange(count, dtype=np.int32) % 5
    values = (labels * 50).astype(np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (count, height, width, 3)).copy()
    return {"image": images, "label": labels}


def draws(count: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 4))


@pytest.mark.parametrize("transform", [mixup, cutmix])
def test_the_pixels_are_mixed_as_the_labels_say(transform):
    fields = transform(batch(), draws(), num_classes=5)
    shares = fields["label"]
    assert shares.dtype == np.float32
    assert shares.shape == (64, 5)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    expected = shares @ (np.arange(5) * 50)
    means = fields["image"].mean(axis=(1, 2, 3))
    assert np.abs(means - expected).max() <= 1.0  # images are whole numbers
    assert (shares.max(axis=1) < 0.95).sum() > 5
    assert fields["image"].dtype == np.uint8


def test_mixup_by_hand():
    fields = batch(2)
    fields["image"][:] = np.array([0, 200], np.uint8)[:, None, None, None]
    fields["label"] = np.array([3, 1], np.int32)
    # At alpha 1 all shares are equally likely: half the draw is the lesser one.
    mixed = mixup(fields, np.array([[0.5, 0, 0, 0], [0.0, 0, 0, 0]]), num_classes=4, alpha=1.0)
    assert mixed["image"][:, 0, 0, 0].tolist() == [50, 200]
    assert mixed["label"].tolist() == [[0, 0.25, 0, 0.75], [0, 1, 0, 0]]


def test_cutmix_pastes_one_rectangle():
    fields = batch(2, height=10, width=10)
    fields["image"][:] = np.array([0, 200], np.uint8)[:, None, None, None]
    fields["label"] = np.array([0, 1], np.int32)
    # A share of a quarter: sides of a half; at the far corner, and at the near one.
    rows = np.array([[0.5, 0.2, 0.999, 0.999], [0.5, 0.2, 0.0, 0.0]])
    mixed = cutmix(fields, rows, num_classes=2, alpha=1.0)
    assert (mixed["image"][0, 5:, 5:] == 200).all()
    assert mixed["image"][0].astype(int).sum() == 25 * 3 * 200
    assert (mixed["image"][1, :5, :5] == 0).all()
    assert mixed["label"].tolist() == [[0.75, 0.25], [0.25, 0.75]]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_distribution_of_the_paper(alpha):
    count = 4000
    mixed = mixup(batch(count, 1, 1), draws(count), num_classes=5, alpha=alpha)["label"]
    lesser = 1 - mixed.max(axis=1)
    beta = np.random.default_rng(1).beta(alpha, alpha, 100_000)
    expected = np.minimum(beta, 1 - beta)
    assert lesser.mean() == pytest.approx(expected.mean(), abs=0.01)
    for part in (0.25, 0.5, 0.75):
        assert np.quantile(lesser, part) == pytest.approx(np.quantile(expected, part), abs=0.015)


@pytest.mark.parametrize("transform", [mixup, cutmix])
def test_mixtures_can_be_mixed_again_and_follow_from_the_draws(transform):
    def twice():
        return transform(mixup(batch(), draws(), 5), draws(seed=1), 5, alpha=0.5)

    one, other = twice(), twice()
    np.testing.assert_allclose(one["label"].sum(axis=1), 1, atol=1e-5)
    for name, array in one.items():
        assert np.array_equal(array, other[name])


@pytest.mark.parametrize("transform", [mixup, cutmix])
def test_impossible_settings_are_refused(transform):
    with pytest.raises(ValueError, match=r"`alpha`.*greater than 0"):
        transform(batch(), draws(), num_classes=5, alpha=0.0)
