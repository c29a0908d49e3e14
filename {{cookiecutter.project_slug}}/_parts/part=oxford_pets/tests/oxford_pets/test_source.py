"""Oxford-IIIT Pet is read in its official layout, and downloaded once, whole or not at all."""

import hashlib
import io
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from dataloader.sources import download, oxford_pets
from dataloader.sources.download import Archive
from dataloader.sources.oxford_pets import OxfordPets
from utils.errors import UserError


def some_labels(height=20, width=30):
    return np.random.default_rng(0).integers(0, 3, (height, width), dtype=np.uint8)


def write_pets(root, trainval=10, test=4):
    """Write a small data set in the official layout."""
    (root / "annotations" / "trimaps").mkdir(parents=True)
    (root / "images").mkdir()
    lists = {"trainval": range(trainval), "test": range(trainval, trainval + test)}
    for name, numbers in lists.items():
        lines = [f"Abyssinian_{number} 1 1 1" for number in numbers]
        (root / "annotations" / f"{name}.txt").write_text("\n".join(lines) + "\n")
        for number in numbers:
            Image.new("RGB", (30, 20)).save(root / "images" / f"Abyssinian_{number}.jpg")
            trimap = Image.fromarray(some_labels() + 1)
            trimap.save(root / "annotations" / "trimaps" / f"Abyssinian_{number}.png")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder with two archives in the official form, and what it is called as a URL."""
    write_pets(tmp_path / "pets")
    (tmp_path / "server").mkdir()
    archives = []
    for part in ("images", "annotations"):
        file = tmp_path / "server" / f"{part}.tar.gz"
        with tarfile.open(file, "w:gz") as tar:
            tar.add(tmp_path / "pets" / part, part)
        archives.append(Archive(file.name, hashlib.md5(file.read_bytes()).hexdigest()))  # noqa: S324
    monkeypatch.setattr(oxford_pets, "ARCHIVES", tuple(archives))
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    return (tmp_path / "server").as_uri()


def test_pets_in_the_official_layout(tmp_path):
    write_pets(tmp_path / "pets")
    root = str(tmp_path / "pets")
    source = OxfordPets(root, (20, 30), download=False)
    assert [len(source.split(n)) for n in ("train", "validation", "test")] == [10, 4, 4]
    fields = source.split("train").read(0)
    assert fields["image"].shape == (20, 30, 3)
    assert np.array_equal(fields["mask"], some_labels())
    assert source.split("test").name(0) == "Abyssinian_10"
    held_out = OxfordPets(root, validation=0.3)
    sizes = [len(held_out.split(n)) for n in ("train", "validation", "test")]
    assert sizes[0] + sizes[1] == 10
    assert sizes[2] == 4
    assert source.fingerprint != held_out.fingerprint


def test_pets_errors(tmp_path):
    with pytest.raises(UserError, match="validation must be"):
        OxfordPets(validation=1.5)
    with pytest.raises(UserError, match=r"no images.*download: true"):
        OxfordPets(str(tmp_path / "none"), download=False).split("train")
    write_pets(tmp_path / "pets")
    (tmp_path / "pets" / "annotations" / "test.txt").unlink()
    with pytest.raises(UserError, match=r"no annotations/test\.txt here, though other parts"):
        OxfordPets(str(tmp_path / "pets")).split("train")


def test_pets_name_the_file_that_is_wrong(tmp_path):
    write_pets(tmp_path / "pets")
    trimaps = tmp_path / "pets" / "annotations" / "trimaps"
    Image.new("L", (30, 20), 77).save(trimaps / "Abyssinian_2.png")
    (trimaps / "Abyssinian_3.png").unlink()
    (tmp_path / "pets" / "images" / "Abyssinian_4.jpg").unlink()
    split = OxfordPets(str(tmp_path / "pets"), download=False).split("train")
    with pytest.raises(UserError, match=r"Abyssinian_2\.png: .*unknown labels: 77 at 600 pixels"):
        split.read(2)
    with pytest.raises(UserError, match=r"Abyssinian_3\.png.*put it there"):
        split.read(3)
    with pytest.raises(UserError, match=r"Abyssinian_4\.jpg: .*No such file.*Abyssinian_4\.png"):
        split.read(4)
    (tmp_path / "pets" / "annotations" / "trainval.txt").write_text("")
    with pytest.raises(UserError, match="no images for the split"):
        OxfordPets(str(tmp_path / "pets"), download=False).split("train")


def test_pets_are_downloaded_once(tmp_path, server):
    told = []
    root = tmp_path / "data" / "pets"
    source = OxfordPets(str(root), url=server, progress=lambda *args: told.append(args))
    assert not root.exists()
    assert len(source.split("train")) == 10
    assert {name for name, _, _ in told} == {"images.tar.gz", "annotations.tar.gz"}
    assert all(done <= total for _, done, total in told)
    told.clear()
    source.split("test").read(0)
    assert not told
    assert [path.name for path in root.parent.iterdir()] == ["pets"]


def test_pets_wrong_checksum_keeps_nothing(tmp_path, server):
    file = tmp_path / "server" / "annotations.tar.gz"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"annotations\.tar\.gz: wrong checksum.*data\.source\.url"):
        OxfordPets(str(tmp_path / "data" / "pets"), url=server).split("train")
    assert not list((tmp_path / "data").iterdir())


def test_pets_without_network_says_how_to_do_it_by_hand(tmp_path, server):
    with pytest.raises(UserError, match=r"failed.*By hand: fetch .*images\.tar\.gz"):
        OxfordPets(str(tmp_path / "pets2"), url="http://127.0.0.1:9").split("train")
    with pytest.raises(UserError, match=r"failed.*By hand"):
        OxfordPets(str(tmp_path / "pets2"), url=server + "/nowhere").split("train")
    with pytest.raises(UserError, match="Only http"):
        OxfordPets(str(tmp_path / "pets2"), url="ftp://host").split("train")
    assert not (tmp_path / "pets2").exists()


def test_pets_downloads_that_race_agree(tmp_path, server):
    root = tmp_path / "data" / "pets"
    barrier = threading.Barrier(4)

    def one(_):
        barrier.wait()
        return len(OxfordPets(str(root), url=server).split("train"))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [10] * 4
    assert [path.name for path in root.parent.iterdir()] == ["pets"]


def test_an_archive_that_leads_outside_is_refused(tmp_path, server, monkeypatch):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        member = tarfile.TarInfo("../../evil.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    (tmp_path / "server" / "evil.tar.gz").write_bytes(content.getvalue())
    md5 = hashlib.md5(content.getvalue()).hexdigest()  # noqa: S324
    monkeypatch.setattr(oxford_pets, "ARCHIVES", (Archive("evil.tar.gz", md5),))
    with pytest.raises(UserError, match="outside"):
        OxfordPets(str(tmp_path / "data" / "pets"), url=server).split("train")
    assert not list(tmp_path.rglob("evil.txt"))


class _BreaksOff(SimpleHTTPRequestHandler):
    """Ends each first answer in the middle; goes on where a Range header says."""

    asked: ClassVar[list[str | None]] = []

    def do_GET(self):
        content = Path(self.translate_path(self.path)).read_bytes()
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted[6:-1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:] if wanted else content[: len(content) // 2])

    def log_message(self, *args):
        pass


def test_a_broken_connection_is_taken_up_where_it_ended(tmp_path, server):
    handler = partial(_BreaksOff, directory=str(tmp_path / "server"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}"
        assert len(OxfordPets(str(tmp_path / "pets3"), url=url).split("test")) == 4
        http.shutdown()
    assert [asked is None for asked in _BreaksOff.asked] == [True, False, True, False]
