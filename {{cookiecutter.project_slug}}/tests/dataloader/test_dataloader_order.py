"""The order of samples and every draw are functions of seed and position."""

import threading
import time

import numpy as np
import pytest

from dataloader.batches import Share, TrainingBatches, evaluation_batches, prefetched
from dataloader.cache import decode
from dataloader.decoded import DecodeOptions
from dataloader.order import sample_indices, shuffled
from dataloader.sample import Field
from ops.augment import brightness_contrast, flip, shift


def order(length, seed, buffer=None):
    return lambda epoch: shuffled(epoch, length, seed, buffer)


def stream(data, transforms, seed, *more, **others):
    return TrainingBatches(data, transforms, seed, order(len(data), seed), *more, **others)


def decoded(count=23, size=8):
    spec = {"image": Field((size, size, 3)), "truth": Field((size, size))}
    return decode(Noise(count, size), spec, DecodeOptions())


class Noise:
    def __init__(self, count, size):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        self.truths = rng.integers(0, 3, (count, size, size), dtype=np.uint8)

    def __len__(self):
        return len(self.images)

    def name(self, index):
        return f"sample {index}"

    def read(self, index):
        return {"image": self.images[index], "truth": self.truths[index]}


@pytest.mark.parametrize("buffer", [None, 1, 4, 10, 100])
def test_every_epoch_is_another_permutation(buffer):
    epochs = sample_indices(range(3 * 50), 50, order(50, 3, buffer)).reshape(3, 50)
    for epoch in epochs:
        assert sorted(epoch) == list(range(50))
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs.dtype == np.int64


def test_any_division_into_batches_gives_the_same_order():
    whole = sample_indices(range(100), 23, order(23, 1))
    for size in (1, 7, 23, 64):
        parts = [
            sample_indices(range(p, min(p + size, 100)), 23, order(23, 1))
            for p in range(0, 100, size)
        ]
        assert np.array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(whole, sample_indices(range(100), 23, order(23, 2)))


def test_the_order_is_the_same_on_every_machine():
    # Worked out once; if this changes, no run can be resumed or repeated across the change.
    assert shuffled(0, 10, seed=0).tolist() == [3, 7, 4, 2, 9, 8, 1, 6, 5, 0]
    assert sample_indices(range(0), 10, order(10, 0)).tolist() == []


def test_buffer_keeps_neighbours_together():
    order = shuffled(0, 100, seed=0, buffer=10)
    blocks = (order // 10).reshape(10, 10)
    assert (blocks == blocks[:, :1]).all()
    assert not np.array_equal(np.sort(blocks[:, 0]), blocks[:, 0])


def test_batches_do_not_depend_on_how_the_stream_is_cut():
    batches = stream(decoded(), [flip, shift, brightness_contrast], 5)
    whole = batches.at(0, 60)
    for size in (1, 16, 25):
        parts = [batches.at(p, min(size, 60 - p)) for p in range(0, 60, size)]
        assert np.array_equal(np.concatenate([part.indices for part in parts]), whole.indices)
        for name, field in whole.fields.items():
            assert np.array_equal(np.concatenate([part.fields[name] for part in parts]), field)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_processes_see_together_what_one_sees(size):
    transforms = (flip, shift, brightness_contrast)
    data, batch = decoded(), 12
    alone = stream(data, transforms, 5).at(24, 3 * batch)
    shared = [
        stream(data, transforms, 5, batch_size=batch, share=Share(r, size)).at(24, 36)
        for r in range(size)
    ]
    for name, field in alone.fields.items():
        # Each process has its part of the first batch, then that of the second, ...
        parts = [b.fields[name].reshape(3, batch // size, *field.shape[1:]) for b in shared]
        together = np.concatenate(parts, axis=1)
        assert np.array_equal(together.reshape(field.shape), field)
    assert all(np.array_equal(one.indices, alone.indices) for one in shared)


def mixed(fields, draws):
    """Add the sample before in the batch, and draw something for each."""
    image = fields["image"] + np.roll(fields["image"], 1, axis=0)
    return {"image": image, "truth": fields["truth"] + draws[:, :1, None]}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_processes_mix_together_what_one_mixes(size):
    data, batch = decoded(), 12
    settings = {"batch_size": batch, "batch_transforms": [mixed]}
    alone = stream(data, [flip], 5, **settings).at(24, 2 * batch)
    plain = stream(data, [flip], 5).at(24, 2 * batch)
    first = plain.fields["image"][:batch]
    assert np.array_equal(alone.fields["image"][:batch], first + np.roll(first, 1, axis=0))
    shared = [
        stream(data, [flip], 5, share=Share(r, size), **settings).at(24, 24) for r in range(size)
    ]
    for name, field in alone.fields.items():
        parts = [b.fields[name].reshape(2, batch // size, *field.shape[1:]) for b in shared]
        assert np.array_equal(np.concatenate(parts, axis=1).reshape(field.shape), field)
    again = stream(data, [flip], 5, **settings).at(36, batch)  # the second of the two alone
    assert np.array_equal(again.fields["truth"], alone.fields["truth"][batch:])


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_processes_evaluate_each_sample_once_in_equally_many_batches(size):
    data = decoded(count=13)
    parts = [list(evaluation_batches(data, 5, share=Share(r, size))) for r in range(size)]
    assert {len(part) for part in parts} == {3}
    seen = [index for part in parts for batch in part if batch.counts for index in batch.indices]
    assert sorted(seen) == list(range(13))
    assert all(len(batch) for part in parts for batch in part)


def test_the_cache_stays_as_it_is():
    data = decoded()
    before = data.take(np.arange(23))["image"]
    stream(data, [flip, shift], 0).at(0, 46)
    for batch in evaluation_batches(data, 5):
        for field in batch.fields.values():
            field[:] = 0
    assert np.array_equal(data.take(np.arange(23))["image"], before)


def test_augmentation_differs_from_epoch_to_epoch():
    data = decoded()
    batches = stream(data, [flip], 0)
    first, second = batches.at(0, 23), batches.at(23, 23)
    flipped = [
        {
            int(i)
            for i, image in zip(b.indices, b.fields["image"], strict=True)
            if (image != data.fields["image"][i]).any()
        }
        for b in (first, second)
    ]
    assert flipped[0] != flipped[1]


def test_evaluation_is_in_order_and_whole():
    batches = list(evaluation_batches(decoded(), 5))
    assert [len(batch.indices) for batch in batches] == [5, 5, 5, 5, 3]
    assert np.concatenate([b.indices for b in batches]).tolist() == list(range(23))
    parts = [
        np.concatenate([b.indices for b in evaluation_batches(decoded(), 5, (k, 4))])
        for k in range(4)
    ]
    assert [len(part) for part in parts] == [6, 6, 6, 5]
    assert [part[0] for part in parts] == [0, 1, 2, 3]
    assert sorted(np.concatenate(parts).tolist()) == list(range(23))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetching_keeps_the_order(workers):
    def fetch(number):
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(prefetched(fetch, range(20), workers)) == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetching_raises_errors_where_they_belong(workers):
    def fetch(number):
        if number == 3:
            raise KeyError("sample 3")
        return number

    results = prefetched(fetch, range(10), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="sample 3"):
        next(results)


def test_closing_ends_the_threads_and_takes_no_more():
    taken = []

    def endless():
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    results = prefetched(lambda number: number, endless(), workers=2)
    assert next(results) == 0
    results.close()
    assert len(taken) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
