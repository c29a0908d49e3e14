"""How often a sample comes: functions of the fields, of the seed and of the epoch."""

import numpy as np
import pytest

from configs.loading import load_config
from dataloader.build import open_source, training_batches
from dataloader.cache import decode
from dataloader.decoded import DecodeOptions
from dataloader.order import drawn
from dataloader.sample import Field
from dataloader.samplers import balanced, weighted
from utils.errors import UserError

LABELS = np.repeat([0, 1, 2], [60, 30, 10]).astype(np.int32)


def counts(weights, epochs, seed=0):
    """Count how often each class comes in some epochs."""
    found = np.concatenate([drawn(epoch, weights, seed) for epoch in range(epochs)])
    return np.bincount(LABELS[found], minlength=3)


def test_balanced_classes_come_equally_often():
    found = counts(balanced({"label": LABELS}), epochs=3)
    assert found.sum() == 300  # as many as there are
    assert np.abs(found - 100).max() <= 3  # systematic: rounded once an epoch


def test_a_lesser_power_balances_a_part_of_the_way():
    assert np.abs(counts(balanced({"label": LABELS}, power=0.0), 1) - [60, 30, 10]).max() == 0
    roots = np.sqrt([60, 30, 10])
    expected = 10 * 100 * roots / roots.sum()
    assert np.abs(counts(balanced({"label": LABELS}, power=0.5), 10) - expected).max() <= 10


def test_weights_of_a_field_count_and_zero_never_comes():
    weight = np.where(LABELS == 2, 0.0, np.where(LABELS == 1, 3.0, 1.0)).astype(np.float32)
    found = counts(weighted({"weight": weight, "label": LABELS}), epochs=4)
    assert np.abs(found - [160, 240, 0]).max() <= 4
    assert found[2] == 0


def test_a_sample_comes_as_often_as_its_weight_rounded_up_or_down():
    weights = np.random.default_rng(0).uniform(0, 2, 50)
    share = 50 * weights / weights.sum()
    times = np.bincount(drawn(3, weights, seed=1), minlength=50)
    assert (times >= np.floor(share)).all()
    assert (times <= np.ceil(share)).all()


def test_an_epoch_follows_from_seed_and_number():
    weights = balanced({"label": LABELS})
    one = drawn(4, weights, seed=7)
    assert one.tolist() == drawn(4, weights, seed=7).tolist()
    assert one.tolist() != drawn(5, weights, seed=7).tolist()
    assert one.tolist() != drawn(4, weights, seed=8).tolist()
    assert one.dtype == np.int64
    # Worked out once; if this changes, no run can be resumed across the change.
    assert drawn(0, np.arange(5.0), seed=0).tolist() == [4, 1, 2, 4, 3]


@pytest.mark.parametrize(
    ("sampler", "arguments", "message"),
    [
        (balanced, {"power": 2.0}, "power"),
        (balanced, {"field": "nothing"}, r"field.*label"),
        (balanced, {"field": "share"}, "whole numbers"),
        (balanced, {"field": "picture"}, "one number a sample"),
        (weighted, {}, "field"),
        (weighted, {"field": "below"}, "0 or greater"),
        (weighted, {"field": "none"}, "not all of them 0"),
    ],
)
def test_what_cannot_weigh_is_refused(sampler, arguments, message):
    fields = {
        "label": LABELS,
        "share": np.full(100, 0.5),
        "picture": np.zeros((100, 2, 2)),
        "below": np.linspace(-1, 1, 100),
        "none": np.zeros(100),
    }
    with pytest.raises(ValueError, match=message):
        sampler(fields, **arguments)


class Labelled:
    def __len__(self):
        return 100

    def name(self, index):
        return str(index)

    def read(self, index):
        return {"label": np.int32(LABELS[index])}


def few(fields):
    """A sampler of one's own that returns too few weights."""
    return np.ones(3)


def test_a_sampler_of_ones_own_is_checked_and_its_order_used(monkeypatch):
    source = open_source(load_config().data)
    data = decode(Labelled(), {"label": Field((), "int32", labels=3)}, DecodeOptions())
    cfg = load_config(None, ["data.sampler=balanced", "data.transforms=[]"])
    batches = training_batches(cfg.data, source, data, batch_size=10, seed=0)
    found = np.bincount(batches.at(0, 100).fields["label"])
    assert np.abs(found - 100 / 3).max() <= 5  # 60, 30 and 10 without it
    here = f"{__name__}:few"
    cfg = load_config(None, [f"data.sampler={here}", "data.transforms=[]"])
    with pytest.raises(UserError, match=r"few must return a weight .* each of the 100 samples"):
        training_batches(cfg.data, source, data, batch_size=10, seed=0)
