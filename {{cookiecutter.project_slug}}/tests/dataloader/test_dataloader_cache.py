"""A sample is decoded once, when it is needed, and what is kept is used only if it is whole."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from dataloader import cache, row_store
from dataloader import decoded as reading
from dataloader.cache import decode
from dataloader.decoded import DecodeOptions
from dataloader.packing import Layout
from dataloader.sample import Field
from utils.errors import UserError
from utils.logs import log


def spec(size, labels=None):
    return {"image": Field((*size, 3)), "truth": Field(size, labels=labels, ignored=255)}


SPEC = spec((4, 4))


class Numbers:
    """A split whose sample i is filled with i; it counts how often it is read."""

    def __init__(self, count=40, broken=(), size=(4, 4)):
        self.size = size
        self.count, self.broken, self.reads, self.threads = count, broken, 0, set()
        self.lock = threading.Lock()

    def __len__(self):
        return self.count

    def name(self, index):
        return f"file {index}.png"

    def read(self, index):
        with self.lock:
            self.reads += 1
            self.threads.add(threading.get_ident())
        if index in self.broken:
            raise UserError(f"{self.name(index)}: broken")
        image = np.full((*self.size, 3), index % 256, np.uint8)
        return {"image": image, "truth": np.full(self.size, index % 3, np.uint8)}


def numbers_in(decoded):
    """Return which sample each place shows."""
    return decoded.fields["image"][:, 0, 0, 0].tolist()


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_sample_is_read_when_it_is_first_needed_and_kept(tmp_path, where):
    split = Numbers(size=(5, 7))
    decoded = decode(split, spec((5, 7), labels=3), DecodeOptions(0, where, str(tmp_path)))
    assert (split.reads, len(decoded)) == (0, 40)
    for _ in range(2):
        taken = decoded.take(np.array([7, 3]))
        assert taken["image"].shape == (2, 5, 7, 3)
        assert taken["image"][:, 4, 6, 2].tolist() == [7, 3]
        assert taken["truth"][:, 4, 6].tolist() == [1, 0]
        assert split.reads == 2
    assert decoded.names[2] == "file 2.png"
    first = decoded.first(9)
    assert numbers_in(first) == list(range(9))
    assert split.reads == 9
    assert numbers_in(decoded) == list(range(40))
    assert split.reads == 40


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_all_may_be_read_at_once(tmp_path, workers, where, monkeypatch):
    split, lines = Numbers(), []
    monkeypatch.setattr(reading, "_SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(log, "info", lambda text, *values: lines.append(text % values))
    decoded = decode(split, SPEC, DecodeOptions(workers, where, str(tmp_path)), "split 'train'")
    decoded.take(np.array([5]))
    assert numbers_in(decoded.without_bad_samples()) == list(range(40))
    assert split.reads == 40
    count = "decoding  {} of 40 samples of the split 'train'"
    assert lines[:3] == [count.format(done) for done in (16, 32, 40)]
    if workers == 0:
        assert split.threads == {threading.get_ident()}


def test_fields_that_a_split_knows_are_not_decoded():
    split: Any = Numbers()
    split.known_fields = {"truth": np.arange(40)}
    assert decode(split, SPEC, DecodeOptions()).first(3).fields["truth"].tolist() == [0, 1, 2]
    assert split.reads == 0


def test_what_is_known_to_be_bad_is_said_at_once():
    split: Any = Numbers(broken=[30])
    split.known_bad = [30]
    with pytest.raises(UserError, match=r"file 30\.png: broken"):
        decode(split, SPEC, DecodeOptions())
    assert split.reads == 1


def test_the_disk_cache_is_reused_for_the_same_key_and_size_only(tmp_path):
    def reads(key, size, some=range(40)):
        split = Numbers(size=size)
        options = DecodeOptions(0, "disk", str(tmp_path))
        decode(split, spec(size), options, key=lambda: key).take(np.array(some))
        return split.reads

    assert reads("a", (4, 4), range(9)) == 9
    assert reads("a", (4, 4)) == 31  # those of a run that was stopped are found
    assert reads("a", (4, 4)) == 0
    assert reads("b", (4, 4)) == 40
    assert reads("a", (4, 5)) == 40
    assert len(list(tmp_path.iterdir())) == 3


def test_a_split_of_the_same_length_with_other_samples_is_another(tmp_path):
    class Shifted(Numbers):
        def name(self, index):
            return super().name(index + 1)

        def read(self, index):
            return super().read(index + 1)

    options = DecodeOptions(0, "disk", str(tmp_path))
    assert numbers_in(decode(Numbers(), SPEC, options, key=lambda: "a")) == list(range(40))
    assert numbers_in(decode(Shifted(), SPEC, options, key=lambda: "a")) == list(range(1, 41))


@pytest.mark.parametrize(
    ("damage", "again"), [("truncate", 1), ("change", 1), ("remove", 39), ("foreign", 40)]
)
def test_what_is_damaged_is_decoded_again(tmp_path, damage, again):
    options = DecodeOptions(0, "disk", str(tmp_path))
    numbers_in(decode(Numbers(), SPEC, options))
    (folder,) = tmp_path.iterdir()
    file = folder / "rows.bin"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    if damage == "remove":
        file.unlink()
    elif damage == "foreign":
        (folder / "checks.bin").write_bytes(b"?" * 160)
    else:
        file.write_bytes(content[:-100] if damage == "truncate" else content)
    for reads in (again, 0):
        split = Numbers()
        assert numbers_in(decode(split, SPEC, options)) == list(range(40))
        assert split.reads == reads


def test_two_at_once_agree(tmp_path):
    def one(_):
        return numbers_in(decode(Numbers(), SPEC, DecodeOptions(1, "disk", str(tmp_path))))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [list(range(40))] * 4
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_threads_may_take_the_same_samples(tmp_path, where):
    decoded = decode(Numbers(400), SPEC, DecodeOptions(0, where, str(tmp_path)))

    def one(seed):
        order = np.random.default_rng(seed).permutation(400)
        found = [decoded.take(order[n : n + 8])["image"][:, 3, 3, 2] for n in range(0, 400, 8)]
        return (np.concatenate(found) == (order % 256)).all()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(4)))


def test_auto_keeps_little_in_memory_and_much_on_disk(tmp_path, monkeypatch):
    needed = 40 * Layout(SPEC).row_bytes
    options = DecodeOptions(directory=str(tmp_path / "cache"))
    assert numbers_in(decode(Numbers(), SPEC, options)) == list(range(40))
    assert not list(tmp_path.iterdir())
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setattr(cache, "_LITTLE", needed - 1)
    assert numbers_in(decode(Numbers(), SPEC, options)) == list(range(40))  # memory, after all
    monkeypatch.setattr(cache, "available_memory", lambda: 2 * needed - 2)
    with pytest.raises(UserError, match=r"cache.*cannot be kept here.*data\.cache_dir"):
        decode(Numbers(), SPEC, options)
    (tmp_path / "cache").unlink()
    assert numbers_in(decode(Numbers(), SPEC, options)) == list(range(40))
    assert list((tmp_path / "cache").iterdir())


def test_a_disk_without_room_is_named_before_anything_is_decoded(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"GB are needed, 0\.0 GB are free.*data\.cache to memory"):
        decode(Numbers(), SPEC, DecodeOptions(0, "disk", str(tmp_path)))


def test_a_disk_that_fills_up_ends_no_training(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(log, "warning", lambda text, *values: said.append(text % values))
    split = Numbers()
    decoded = decode(split, SPEC, DecodeOptions(0, "disk", str(tmp_path)))
    decoded.take(np.array([1]))
    monkeypatch.setattr(row_store, "open", full, raising=False)
    for _ in range(2):
        assert decoded.take(np.array([1, 2]))["image"][:, 0, 0, 0].tolist() == [1, 2]
    assert split.reads == 3  # once, and twice
    assert len(said) == 1
    assert "No space left" in said[0]
    assert "decoded each time" in said[0]


def full(path, mode, buffering=-1):
    """Open a file, but for writing: then the disk is full."""
    if mode == "r+b":
        raise OSError(28, "No space left on device")
    return open(path, mode, buffering)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_errors_name_the_file(tmp_path, workers, where):
    split = Numbers(count=2000, broken=(17, 18))
    decoded = decode(split, SPEC, DecodeOptions(workers, where, str(tmp_path)))
    with pytest.raises(UserError, match=r"file 17\.png: broken"):
        decoded.without_bad_samples()
    assert split.reads < 2000
    with pytest.raises(UserError, match=r"file 18\.png: broken\nOr leave bad samples out"):
        decoded.take(np.array([3, 18, 17]))


def test_a_source_of_ones_own_is_held_to_its_promise():
    class WrongSize(Numbers):
        def read(self, index):
            return {**super().read(index), "image": np.zeros((2, 2, 3), np.uint8)}

    class WrongName(Numbers):
        def read(self, index):
            return {**super().read(index), "depth": np.zeros((4, 4), np.uint8)}

    class Fails(Numbers):
        def read(self, index):
            return 1 / 0

    with pytest.raises(UserError, match=r"file 0.png.*image.*\[4, 4, 3\].*Received.*\[2, 2, 3\]"):
        numbers_in(decode(WrongSize(), SPEC, DecodeOptions()))
    with pytest.raises(UserError, match=r"fields image, truth. Received: image, truth, depth"):
        numbers_in(decode(WrongName(), SPEC, DecodeOptions()))
    with pytest.raises(UserError, match=r"file 2.png: the truth holds 2 at 16 of 16 places"):
        numbers_in(decode(Numbers(), spec((4, 4), labels=2), DecodeOptions()))
    with pytest.raises(ZeroDivisionError) as caught:
        numbers_in(decode(Fails(), SPEC, DecodeOptions()))
    assert "file 0.png" in caught.value.__notes__[0]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*data\.cache_dir"):
        decode(Numbers(), SPEC, DecodeOptions(0, "disk", str(tmp_path / "file")))


def test_fields_of_any_type_lie_side_by_side_and_are_never_copied():
    fields = {
        "row": Field((3,), "float32"),
        "odd": Field((5, 1)),
        "label": Field((), "int64", labels=7, ignored=-1),
    }
    layout = Layout(fields)
    assert layout.row_bytes == 3 * 64
    rows = np.zeros((4, layout.row_bytes), np.uint8)
    views = layout.fields(rows)
    for name, field in fields.items():
        assert views[name].shape == (4, *field.shape)
        assert views[name].dtype == field.dtype
        assert np.shares_memory(views[name], rows)
    views["label"][2] = 6
    views["row"][2] = [0.5, 1.5, 2.5]
    taken = layout.fields(np.take(rows, [2, 0], axis=0))
    assert taken["label"].tolist() == [6, 0]
    assert taken["row"][0].tolist() == [0.5, 1.5, 2.5]
    assert not taken["odd"].any()


@pytest.mark.parametrize(("value", "is_bad"), [(6, False), (-1, False), (7, True), (-2, True)])
def test_labels_of_any_integer_type_are_checked(value, is_bad):
    class Labels(Numbers):
        def read(self, index):
            return {"label": np.int64(value)}

    wanted = {"label": Field((), "int64", labels=7, ignored=-1)}
    if not is_bad:
        assert decode(Labels(3), wanted, DecodeOptions()).fields["label"].tolist() == [value] * 3
        return
    with pytest.raises(UserError, match=rf"file 0.png: the label holds {value} at 1 of 1 places"):
        decode(Labels(3), wanted, DecodeOptions()).take(np.arange(3))
