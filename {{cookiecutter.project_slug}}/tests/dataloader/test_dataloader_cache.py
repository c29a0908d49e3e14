"""Every sample is decoded once, and a cache on disk is used again only if it is whole."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dataloader import cache
from dataloader import decode as reading
from dataloader.cache import decode
from dataloader.decode import DecodeOptions
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
        image = np.full((*self.size, 3), index, np.uint8)
        return {"image": image, "truth": np.full(self.size, index % 3, np.uint8)}


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_every_sample_is_read_once_and_in_its_place(tmp_path, workers, where, monkeypatch):
    split, lines = Numbers(size=(5, 7)), []
    monkeypatch.setattr(reading, "_SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(log, "info", lambda text, *values: lines.append(text % values))
    options = DecodeOptions(workers, where, str(tmp_path))
    decoded = decode(split, spec((5, 7), labels=3), options, "split 'train'")
    assert split.reads == len(decoded) == 40
    images, truths = decoded.fields["image"], decoded.fields["truth"]
    assert images.shape == (40, 5, 7, 3)
    assert images.dtype == truths.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == list(range(40))
    assert truths[:, 4, 6].tolist() == [n % 3 for n in range(40)]
    assert decoded.names[2] == "file 2.png"
    count = "decoding  {} of 40 samples of the split 'train'"
    assert lines == [count.format(done) for done in (16, 32, 40)]
    if workers == 0:
        assert split.threads == {threading.get_ident()}


def test_the_disk_cache_is_reused_for_the_same_key_and_size_only(tmp_path):
    def reads(key, size):
        split = Numbers(size=size)
        options = DecodeOptions(0, "disk", str(tmp_path))
        decode(split, spec(size), options, key=lambda: key)
        return split.reads

    assert reads("a", (4, 4)) == 40
    assert reads("a", (4, 4)) == 0
    assert reads("b", (4, 4)) == 40
    assert reads("a", (4, 5)) == 40
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncate", "change", "remove", "foreign"])
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    decode(Numbers(), SPEC, DecodeOptions(0, "disk", str(tmp_path)))
    (folder,) = tmp_path.iterdir()
    file = folder / "rows.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    if damage == "remove":
        file.unlink()
    elif damage == "foreign":
        (folder / "record.json").write_text("[")
    else:
        file.write_bytes(content[:-100] if damage == "truncate" else content)
    split = Numbers()
    decoded = decode(split, SPEC, DecodeOptions(0, "disk", str(tmp_path)))
    assert split.reads == 40
    assert (decoded.fields["image"][39] == 39).all()
    again = Numbers()
    decode(again, SPEC, DecodeOptions(0, "disk", str(tmp_path)))
    assert again.reads == 0


def test_two_at_once_agree(tmp_path):
    def one(_):
        return decode(Numbers(), SPEC, DecodeOptions(1, "disk", str(tmp_path)))

    with ThreadPoolExecutor(4) as pool:
        for decoded in pool.map(one, range(4)):
            assert decoded.fields["image"][:, 0, 0, 0].tolist() == list(range(40))
    assert len(list(tmp_path.iterdir())) == 1


def test_auto_takes_the_disk_when_memory_is_short(tmp_path, monkeypatch):
    needed = 40 * Layout(SPEC).row_bytes
    monkeypatch.setattr(cache, "available_memory", lambda: 2 * needed)
    decode(Numbers(), SPEC, DecodeOptions(directory=str(tmp_path)))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(cache, "available_memory", lambda: 2 * needed - 2)
    decoded = decode(Numbers(), SPEC, DecodeOptions(directory=str(tmp_path)))
    assert isinstance(decoded.rows, np.memmap)
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_errors_name_the_file_and_leave_nothing(tmp_path, workers, where):
    split = Numbers(count=2000, broken=(17, 18))
    with pytest.raises(UserError, match=r"file 17\.png: broken"):
        decode(split, SPEC, DecodeOptions(workers, where, str(tmp_path)))
    assert workers or split.reads == 18
    assert not list(tmp_path.iterdir())


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
        decode(WrongSize(), SPEC, DecodeOptions())
    with pytest.raises(UserError, match=r"fields image, truth. Received: image, truth, depth"):
        decode(WrongName(), SPEC, DecodeOptions())
    with pytest.raises(UserError, match=r"file 2.png: the truth holds 2 at 16 of 16 places"):
        decode(Numbers(), spec((4, 4), labels=2), DecodeOptions())
    with pytest.raises(ZeroDivisionError) as caught:
        decode(Fails(), SPEC, DecodeOptions())
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
        decode(Labels(3), wanted, DecodeOptions())
