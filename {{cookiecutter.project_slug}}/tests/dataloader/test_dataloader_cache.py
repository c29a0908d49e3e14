"""Every sample is decoded once, and a cache on disk is used again only if it is whole."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dataloader import cache
from dataloader import decode as reading
from dataloader.cache import decode
from dataloader.decode import DecodeOptions
from utils.errors import UserError
from utils.logs import log


class Numbers:
    """A split whose sample i is filled with i; it counts how often it is read."""

    def __init__(self, count=40, broken=()):
        self.count, self.broken, self.reads, self.threads = count, broken, 0, set()
        self.lock = threading.Lock()

    def __len__(self):
        return self.count

    def name(self, index):
        return f"file {index}.png"

    def read(self, index, size):
        with self.lock:
            self.reads += 1
            self.threads.add(threading.get_ident())
        if index in self.broken:
            raise UserError(f"{self.name(index)}: broken")
        return np.full((*size, 3), index, np.uint8), np.full(size, index % 3, np.uint8)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_every_sample_is_read_once_and_in_its_place(tmp_path, workers, where, monkeypatch):
    split, lines = Numbers(), []
    monkeypatch.setattr(reading, "_SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(log, "info", lambda text, *values: lines.append(text % values))
    options = DecodeOptions((5, 7), workers, where, str(tmp_path), num_classes=3)
    decoded = decode(split, options, "split 'train'")
    assert split.reads == len(decoded) == 40
    assert decoded.images.shape == (40, 5, 7, 3)
    assert decoded.images.dtype == decoded.masks.dtype == np.uint8
    assert decoded.images.flags.c_contiguous
    assert decoded.images[:, 0, 0, 0].tolist() == list(range(40))
    assert decoded.masks[:, 4, 6].tolist() == [n % 3 for n in range(40)]
    assert decoded.names[2] == "file 2.png"
    count = "decoding  {} of 40 samples of the split 'train'"
    assert lines == [count.format(done) for done in (16, 32, 40)]
    if workers == 0:
        assert split.threads == {threading.get_ident()}


def test_the_disk_cache_is_reused_for_the_same_key_and_size_only(tmp_path):
    def reads(key, size):
        split = Numbers()
        decode(split, DecodeOptions(size, 0, "disk", str(tmp_path)), key=lambda: key)
        return split.reads

    assert reads("a", (4, 4)) == 40
    assert reads("a", (4, 4)) == 0
    assert reads("b", (4, 4)) == 40
    assert reads("a", (4, 5)) == 40
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncate", "change", "remove", "foreign"])
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    decode(Numbers(), DecodeOptions((4, 4), 0, "disk", str(tmp_path)))
    (folder,) = tmp_path.iterdir()
    file = folder / "images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    if damage == "remove":
        file.unlink()
    elif damage == "foreign":
        (folder / "record.json").write_text("[")
    else:
        file.write_bytes(content[:-100] if damage == "truncate" else content)
    split = Numbers()
    decoded = decode(split, DecodeOptions((4, 4), 0, "disk", str(tmp_path)))
    assert split.reads == 40
    assert (decoded.images[39] == 39).all()
    again = Numbers()
    decode(again, DecodeOptions((4, 4), 0, "disk", str(tmp_path)))
    assert again.reads == 0


def test_two_at_once_agree(tmp_path):
    def one(_):
        return decode(Numbers(), DecodeOptions((4, 4), 1, "disk", str(tmp_path)))

    with ThreadPoolExecutor(4) as pool:
        for decoded in pool.map(one, range(4)):
            assert decoded.images[:, 0, 0, 0].tolist() == list(range(40))
    assert len(list(tmp_path.iterdir())) == 1


def test_auto_takes_the_disk_when_memory_is_short(tmp_path, monkeypatch):
    needed = 40 * 4 * 4 * 4
    monkeypatch.setattr(cache, "available_memory", lambda: 2 * needed)
    decode(Numbers(), DecodeOptions((4, 4), directory=str(tmp_path)))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(cache, "available_memory", lambda: 2 * needed - 2)
    decoded = decode(Numbers(), DecodeOptions((4, 4), directory=str(tmp_path)))
    assert isinstance(decoded.images, np.memmap)
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_errors_name_the_file_and_leave_nothing(tmp_path, workers, where):
    split = Numbers(count=2000, broken=(17, 18))
    with pytest.raises(UserError, match=r"file 17\.png: broken"):
        decode(split, DecodeOptions((4, 4), workers, where, str(tmp_path)))
    assert workers or split.reads == 18
    assert not list(tmp_path.iterdir())


def test_a_source_of_ones_own_is_held_to_its_promise():
    class WrongSize(Numbers):
        def read(self, index, size):
            return np.zeros((2, 2, 3), np.uint8), np.zeros(size, np.uint8)

    class Fails(Numbers):
        def read(self, index, size):
            return 1 / 0

    with pytest.raises(UserError, match=r"file 0.png.*image.*\[4, 4, 3\].*Received.*\[2, 2, 3\]"):
        decode(WrongSize(), DecodeOptions((4, 4)))
    with pytest.raises(UserError, match=r"file 2.png: the mask holds 2 at 16 pixels"):
        decode(Numbers(), DecodeOptions((4, 4), num_classes=2))
    with pytest.raises(ZeroDivisionError) as caught:
        decode(Fails(), DecodeOptions((4, 4)))
    assert "file 0.png" in caught.value.__notes__[0]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*data\.cache_dir"):
        decode(Numbers(), DecodeOptions((4, 4), 0, "disk", str(tmp_path / "file")))
