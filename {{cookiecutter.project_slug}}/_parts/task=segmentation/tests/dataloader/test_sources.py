"""Each data source reads what it should, and names the file that is wrong."""

import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataloader.sources import digit_scenes, scikit_learn
from dataloader.sources.digit_scenes import DigitScenes
from dataloader.sources.folder import Folder
from dataloader.sources.pair_table import PairTable
from utils.errors import UserError
from utils.logs import log

CLASSES = ("background", "cat", "dog")
SIZE = (20, 30)


def write_pair(root, name, labels, image_ending=".jpg", images="images", masks="masks"):
    """Write an image and a mask of the same size; labels is an array or a Pillow image."""
    for folder in (images, masks):
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
    mask = labels if isinstance(labels, Image.Image) else Image.fromarray(labels)
    Image.new("RGB", mask.size, (200, 100, 50)).save(root / images / (name + image_ending))
    mask.save(root / masks / f"{name}.png")


def some_labels(height=20, width=30):
    return np.random.default_rng(0).integers(0, 3, (height, width), dtype=np.uint8)


# Digit scenes


@pytest.fixture(scope="module")
def scenes():
    return DigitScenes(train=40, validation=20, test=20)


def test_scenes_are_a_function_of_seed_split_and_number(scenes):
    first, again = (DigitScenes().split("train").read(7) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in ("image", "mask"))
    assert np.array_equal(scenes.split("train").read(7)["image"], first["image"])
    others = [
        DigitScenes(seed=1).split("train").read(7),
        scenes.split("train").read(8),
        scenes.split("validation").read(7),
    ]
    assert not any(np.array_equal(other["image"], first["image"]) for other in others)


def test_scenes_have_the_promised_form():
    scenes = DigitScenes(train=40, validation=20, test=20, image_size=(48, 64))
    split = scenes.split("validation")
    counts = np.zeros(3, dtype=np.int64)
    for index in range(len(split)):
        fields = split.read(index)
        assert fields.keys() == scenes.spec.keys()
        for name, field in scenes.spec.items():
            assert fields[name].shape == field.shape
            assert fields[name].dtype == np.dtype(field.dtype)
        mask = fields["mask"]
        counts += np.bincount(mask.ravel(), minlength=3)
    assert counts.argmax() == digit_scenes.BACKGROUND
    assert (counts > 0.03 * counts.sum()).all()
    assert scenes.class_names[digit_scenes.BORDER] == "border"


def test_the_border_lies_between_object_and_background(scenes):
    mask = scenes.split("train").read(0)["mask"]
    for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
        touching = {
            frozenset(pair)
            for pair in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        }
        assert frozenset((digit_scenes.OBJECT, digit_scenes.BACKGROUND)) not in touching


def test_scene_fingerprint_and_errors(scenes, monkeypatch):
    assert scenes.fingerprint != DigitScenes(train=40, validation=20, test=20, seed=1).fingerprint
    with pytest.raises(UserError, match="canvas"):
        DigitScenes(canvas=8)
    with pytest.raises(UserError, match="digits"):
        DigitScenes(digits=[3, 9])
    with pytest.raises(UserError, match="no scenes"):
        DigitScenes(test=0).split("test")
    with pytest.raises(UserError, match="train, validation, test"):
        scenes.split("val")
    scikit_learn.handwritten_digits.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install .*scikit-learn"):
        scenes.split("train")


# A folder of one's own


def test_folder_reads_grey_masks_by_nearest_neighbour(tmp_path):
    labels = some_labels()
    for number in range(10):
        write_pair(tmp_path, f"photo {number}", labels)
    source = Folder(str(tmp_path), CLASSES, image_size=SIZE)
    names = {}
    for split_name in ("train", "validation"):
        split = source.split(split_name)
        names[split_name] = {split.name(index) for index in range(len(split))}
    assert len(names["train"]) + len(names["validation"]) == 10
    assert not names["train"] & names["validation"]
    fields = source.split("train").read(0)
    assert np.array_equal(fields["mask"], labels)
    assert abs(fields["image"].astype(int) - (200, 100, 50)).max() <= 3
    small = Folder(str(tmp_path), CLASSES, (7, 11)).split("train").read(0)["mask"]
    assert small.shape == (7, 11)
    assert set(np.unique(small)) <= {0, 1, 2}
    with pytest.raises(UserError, match="no images for the split 'test'"):
        source.split("test")


def test_folder_split_stays_when_files_are_added(tmp_path):
    for number in range(20):
        write_pair(tmp_path, f"{number}", some_labels(4, 4))

    def members(name):
        split = Folder(str(tmp_path), CLASSES, test=0.2).split(name)
        return {split.name(index) for index in range(len(split))}

    before = {name: members(name) for name in ("train", "validation", "test")}
    for number in range(20, 30):
        write_pair(tmp_path, f"{number}", some_labels(4, 4))
    for name, names in before.items():
        assert names
        assert names <= members(name)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_folder_of_few_files_still_has_each_split(tmp_path, count):
    for number in range(count):
        write_pair(tmp_path, f"{number}", some_labels(4, 4))
    source = Folder(str(tmp_path), CLASSES, validation=0.1)
    assert len(source.split("validation")) >= 1
    assert len(source.split("train")) >= 1


def test_folder_with_a_folder_for_each_split(tmp_path):
    for name in ("train", "validation"):
        write_pair(tmp_path, f"of {name}", some_labels(), ".png", f"{name}/images", f"{name}/masks")
    with pytest.raises(UserError, match=r"set images: '\{split\}/images'"):
        Folder(str(tmp_path), CLASSES).split("train")
    source = Folder(str(tmp_path), CLASSES, images="{split}/images", masks="{split}/masks")
    assert source.split("train").name(0) == "of train"
    assert source.split("validation").name(0) == "of validation"
    with pytest.raises(UserError, match="test"):
        source.split("test")


def test_folder_reads_colours_palettes_levels_and_bits(tmp_path):
    labels = some_labels()
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 128]], dtype=np.uint8)
    palette = Image.fromarray(labels).convert("P")
    palette.putpalette(colours.ravel().tolist())
    palette.frombytes(labels.tobytes())
    forms: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb": (
            Image.fromarray(colours[labels]),
            {"mask_values": ["#000000", [255, 0, 0], "00FF80"]},
        ),
        "palette": (palette, {"mask_values": [[0, 0, 0], "#ff0000", "#00ff80"]}),
        "index": (palette, {}),
        "levels": (Image.fromarray(labels * 100), {"mask_values": [0, 100, 200]}),
        "grey as rgb": (Image.fromarray(labels).convert("RGB"), {}),
        "grey and alpha": (Image.fromarray(labels).convert("LA"), {}),
        "16 bits": (
            Image.fromarray(labels.astype(np.uint16) * 1000),
            {"mask_values": [0, 1000, 2000]},
        ),
    }
    for form, (mask, settings) in forms.items():
        for name in "ab":
            write_pair(tmp_path / form, name, mask)
        source = Folder(str(tmp_path / form), CLASSES, SIZE, **settings)
        assert np.array_equal(source.split("train").read(0)["mask"], labels), form
    bits = Image.fromarray(labels > 0)
    for values in (None, [0, 255]):
        for name in "ab":
            write_pair(tmp_path / "bits", name, bits)
        source = Folder(str(tmp_path / "bits"), CLASSES[:2], SIZE, mask_values=values)
        assert np.array_equal(source.split("train").read(0)["mask"], labels > 0)


def test_folder_ignores_what_shall_not_count(tmp_path):
    labels = some_labels()
    labels[:5] = 99
    for name in "ab":
        write_pair(tmp_path, name, labels)
    source = Folder(str(tmp_path), CLASSES, SIZE, ignore_value=99)
    mask = source.split("train").read(0)["mask"]
    assert (mask[:5] == 255).all()
    assert np.array_equal(mask[5:], labels[5:])


@pytest.mark.parametrize(
    ("pixels", "settings"),
    [
        ([0, 1, 2, 7, 4, 5], {"mask_values": [0, [1, 2, 7]], "ignore_value": [4, 5]}),
        ([0, 1, 2, 7, 4, 5], {"mask_values": [[0], [1, 2, 7]], "ignore_value": [4, 5]}),
        (
            [0x000000, 0xFF0000, 0x00FF00, 0x0000FF, 0x111111, 0x222222],
            {
                "mask_values": ["#000000", ["#ff0000", [0, 255, 0], "#0000ff"]],
                "ignore_value": ["#111111", [0x22, 0x22, 0x22]],
            },
        ),
    ],
)
def test_folder_reads_several_values_as_one_class(tmp_path, pixels, settings):
    codes = np.array([pixels], np.uint32).repeat(4, axis=0)
    in_colour = max(pixels) > 255
    shifts = (16, 8, 0) if in_colour else (0,)
    mask = np.stack([(codes >> shift) & 255 for shift in shifts], axis=-1).astype(np.uint8)
    for name in "ab":
        write_pair(tmp_path, name, mask if in_colour else mask[..., 0])
    read = Folder(str(tmp_path), CLASSES[:2], (4, 6), **settings).split("train").read(0)["mask"]
    assert read[0].tolist() == [0, 1, 1, 1, 255, 255]


def test_folder_pairs_names_that_differ_in_a_part(tmp_path):
    for name in "ab":
        write_pair(tmp_path, name, some_labels(), images="all", masks="all")
        (tmp_path / "all" / f"{name}.jpg").rename(tmp_path / "all" / f"{name}_rgb.jpg")
        (tmp_path / "all" / f"{name}.png").rename(tmp_path / "all" / f"{name}_label.png")
    both: Any = {"images": "all", "masks": "all", "image_suffix": "_rgb", "mask_suffix": "_label"}
    source = Folder(str(tmp_path), CLASSES, SIZE, **both)
    split = source.split("train")
    assert split.name(0) in ("a", "b")
    assert np.array_equal(split.read(0)["mask"], some_labels())


def test_folder_takes_images_as_people_see_them(tmp_path):
    stored = np.zeros((20, 30, 3), dtype=np.uint8)
    stored[:, :10] = 255  # a white stripe on the left, on top once turned
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    upright = np.zeros((30, 20), dtype=np.uint8)
    upright[:10] = 1
    as_stored = np.zeros((20, 30), dtype=np.uint8)
    as_stored[:, :10] = 1
    for labels in (upright, as_stored):
        for name in "ab":
            write_pair(tmp_path, name, labels)
            Image.fromarray(stored).save(tmp_path / "images" / f"{name}.jpg", exif=exif, quality=95)
        fields = Folder(str(tmp_path), CLASSES, (30, 20)).split("train").read(0)
        assert np.array_equal(fields["mask"], upright)
        assert np.array_equal(fields["image"][..., 0] > 127, upright == 1)


@pytest.mark.parametrize("tag", [6, 3])
def test_folder_asks_where_a_mask_fits_a_turned_image_both_ways(tmp_path, tag, caplog):
    stored = np.zeros((20, 20, 3), dtype=np.uint8)
    stored[:, :10] = 255  # on the left as stored
    exif = Image.Exif()
    exif[0x0112] = tag
    for name in "ab":
        write_pair(tmp_path, name, (stored[..., 0] > 0).astype(np.uint8))
        Image.fromarray(stored).save(tmp_path / "images" / f"{name}.jpg", exif=exif, quality=95)

    def overlap(**settings):
        fields = Folder(str(tmp_path), CLASSES, 20, **settings).split("train").read(0)
        return ((fields["image"][..., 0] > 127) == (fields["mask"] == 1)).mean()

    assert overlap(mask_orientation="stored") == 1.0
    assert caplog.text == ""
    assert overlap() <= 0.5
    assert "its mask fits both ways" in caplog.text
    assert "Set mask_orientation: seen or stored" in caplog.text
    caplog.clear()
    assert overlap(mask_orientation="seen") <= 0.5
    assert caplog.text == ""
    with pytest.raises(UserError, match="must be auto, seen or stored"):
        Folder(str(tmp_path), CLASSES, mask_orientation="left")


def test_folder_reads_folders_in_folders(tmp_path):
    for name in ("one/a", "one/b", "two/a"):
        write_pair(tmp_path, name, some_labels(), images="images", masks="masks")
    source = Folder(str(tmp_path), CLASSES, SIZE, recursive=True, group="^(one|two)/")
    found = {split: [source.split(split).name(0)] for split in ("train", "validation")}
    assert {name.split("/")[0] for names in found.values() for name in names} == {"one", "two"}


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_folder_converts_images(tmp_path, mode):
    ending = ".tif" if mode == "CMYK" else ".png"
    for name in "ab":
        write_pair(tmp_path, name, some_labels(), ending)
        picture = Image.new("RGB", (30, 20), (255, 255, 255)).convert(mode)
        picture.save(tmp_path / "images" / (name + ending))
    fields = Folder(str(tmp_path), CLASSES).split("train").read(0)
    assert (fields["image"] == 255).all()


def _remove_mask(root):
    (root / "masks" / "a.png").unlink()


def _other_size(root):
    Image.new("L", (31, 20)).save(root / "masks" / "a.png")


def _unknown_label(root):
    Image.fromarray(np.where(np.arange(600).reshape(20, 30) < 7, 9, 0).astype(np.uint8)).save(
        root / "masks" / "a.png"
    )


def _broken_image(root):
    file = root / "images" / "a.jpg"
    file.write_bytes(file.read_bytes()[:300])


def _no_image(root):
    (root / "images" / "a.jpg").write_text("<html>")


def _broken_mask(root):
    file = root / "masks" / "a.png"
    file.write_bytes(file.read_bytes()[:60])


def _colour_mask(root):
    Image.new("RGB", (30, 20), (255, 0, 0)).save(root / "masks" / "a.png")


def _deep_image(root):
    (root / "images" / "a.jpg").unlink()
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(root / "images" / "a.png")


def _twin(root):
    Image.new("RGB", (30, 20)).save(root / "images" / "a.png")


def _mask_of_two_pages(root):
    first, second = (Image.new("L", (30, 20), value) for value in (0, 1))
    first.save(root / "masks" / "a.gif", save_all=True, append_images=[second])
    (root / "masks" / "a.png").unlink()


def _empty(root):
    for file in (root / "images").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove_mask, r"a\.jpg: .* no mask \(1 of 2 .*Expected: .*masks.a\.png; .*Add the mask"),
        (_other_size, r"a\.png: the mask is 31 x 20 pixels, but its image .*a\.jpg is 30 x 20"),
        (
            _unknown_label,
            r"a\.png: .*unknown labels: 9 at 7 pixels\. Known: 0 = background, 1 = cat",
        ),
        (_broken_image, r"a\.jpg: .*image"),
        (_no_image, r"a\.jpg: not a readable image .*6 bytes"),
        (_broken_mask, r"a\.png: .*(mask|image)"),
        (_colour_mask, r"a\.png: the mask is in colour .*mask_values"),
        (_deep_image, r"a\.png: images must have 8 bits"),
        (_mask_of_two_pages, r"a\.gif: the mask has 2 pages. Expected: one"),
        (_twin, r"images: a\.jpg and a\.png have the same name"),
        (_empty, r"images: there are no images"),
    ],
)
def test_folder_errors_name_the_file(tmp_path, damage, message):
    for name in "ab":
        write_pair(tmp_path, name, some_labels())
    damage(tmp_path)
    with pytest.raises(UserError, match=message):
        source = Folder(str(tmp_path), CLASSES)
        for name in ("train", "validation"):
            source.split(name).read(0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_names": []}, "class_names"),
        ({"class_names": "cat"}, "class_names"),
        ({"image_size": 0}, "image_size must be a number of pixels"),
        ({"image_size": [64]}, "image_size must be a number of pixels"),
        ({"image_size": [64, 64.5]}, "image_size must be a number of pixels"),
        ({"class_names": ["cat", "cat"]}, "different"),
        ({"mask_values": [0, 1]}, "one value for each of the 3 classes"),
        ({"mask_values": [0, 1, 1]}, "share one value"),
        ({"mask_values": [[0, 1], 2, []]}, "needs a value"),
        ({"mask_values": [0, 1, "#ff0000"]}, "all be grey levels"),
        ({"mask_values": ["#ff0000", "red", "#0000ff"]}, "'red'"),
        ({"ignore_value": 1}, "share one value"),
        ({"validation": 0.7, "test": 0.3}, "leave something to train on"),
        ({"images": "{split}/images"}, "both hold"),
    ],
)
def test_folder_refuses_impossible_settings(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        Folder(**{"root": str(tmp_path), "class_names": CLASSES, **settings})


def test_folder_unknown_colours_are_counted(tmp_path):
    mask = np.zeros((20, 30, 3), dtype=np.uint8)
    mask[0, :4] = (1, 2, 3)
    for name in "ab":
        write_pair(tmp_path, name, mask)
    source = Folder(str(tmp_path), CLASSES[:2], mask_values=["#000000", "#ffffff"])
    with pytest.raises(UserError, match=r"unknown colours: #010203 at 4 pixels.*#ffffff = cat"):
        source.split("train").read(0)


def test_folder_fingerprint_follows_files_and_settings(tmp_path):
    for name in "ab":
        write_pair(tmp_path, name, some_labels())
    before = Folder(str(tmp_path), CLASSES).fingerprint
    assert Folder(str(tmp_path), CLASSES).fingerprint == before
    assert Folder(str(tmp_path), CLASSES, ignore_value=9).fingerprint != before
    write_pair(tmp_path, "a", some_labels(40, 40))
    assert Folder(str(tmp_path), CLASSES).fingerprint != before


def test_folder_may_be_elsewhere(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in "ab":
        write_pair(tmp_path, name, some_labels())
        for file in (f"images/{name}.jpg", f"masks/{name}.png"):
            memory.pipe(f"/sources-test/{file}", (tmp_path / file).read_bytes())
    source = Folder("memory://sources-test", CLASSES, SIZE)
    before = source.fingerprint
    assert np.array_equal(source.split("train").read(0)["mask"], some_labels())
    memory.pipe("/sources-test/images/a.jpg", b"")
    assert Folder("memory://sources-test", CLASSES).fingerprint != before
    memory.rm("/sources-test", recursive=True)


def write_table(folder, lines, name="pairs.csv"):
    (folder / name).write_text("\n".join(lines))
    return str(folder / name)


def test_a_table_names_images_and_masks(tmp_path):
    for number in range(10):
        write_pair(tmp_path, f"{number}", some_labels(4, 4))
    rows = [f"images/{n}.jpg;masks/{n}.png;{'train' if n < 8 else 'test'}" for n in range(10)]
    table = write_table(tmp_path, ["photo;truth;split", *rows])
    columns: dict[str, Any] = {"image_column": "photo", "mask_column": "truth"}
    source = PairTable(table, CLASSES, image_size=4, split_column="split", **columns)
    train, test = source.split("train"), source.split("test")
    assert (len(train), len(test)) == (8, 2)
    assert train.name(0) == "images/0.jpg"
    np.testing.assert_array_equal(train.read(0)["mask"], some_labels(4, 4))
    with pytest.raises(UserError, match="write it into the column 'split' of some lines"):
        source.split("validation")
    divided = PairTable(table, CLASSES, image_size=4, **columns)
    assert 1 <= len(divided.split("validation")) <= 4
    (tmp_path / "masks" / "3.png").unlink()
    assert source.split("train").known_bad == [3]
    with pytest.raises(UserError, match=r"3\.png.* belongs to the image .*3\.jpg: put it there"):
        source.split("train").read(3)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,mask", "a.png,b.png", "a.png,c.png"], "line 3: a.png is in line 2, too"),
        (["image,truth", "a.png,b.png"], "there is no column mask. Found: image, truth"),
        (["image,mask", "a.png,"], "line 2: nothing in the column mask"),
        (["image,mask"], "there are no images below"),
    ],
)
def test_lines_of_a_table_that_cannot_be_used_are_named(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        PairTable(write_table(tmp_path, lines), CLASSES).split("train")


def test_a_test_split_without_masks_keeps_nobody_from_training(tmp_path):
    for split in ("train", "validation", "test"):
        write_pair(tmp_path / split, "a", some_labels(4, 4))
    shutil.rmtree(tmp_path / "test" / "masks")
    folders: dict[str, Any] = {"images": "{split}/images", "masks": "{split}/masks"}
    source = Folder(str(tmp_path), CLASSES, image_size=4, **folders)
    assert len(source.split("train")) == len(source.split("validation")) == 1
    assert source.fingerprint
    assert source.split("test").known_bad == [0]
    with pytest.raises(UserError, match=r"this image has no mask \(1 of 1 images here have none\)"):
        source.split("test").read(0)


def test_masks_whose_palettes_differ_are_told_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(log, "warning", lambda text, *values: said.append(text % values))
    for name, palette in (("a", [0, 0, 0, 255, 0, 0]), ("b", [255, 0, 0, 0, 0, 0]), ("c", [9] * 6)):
        mask = Image.fromarray(np.eye(4, dtype=np.uint8))
        mask.putpalette(palette)
        write_pair(tmp_path, name, mask)
    split = Folder(str(tmp_path), ["x", "y"], image_size=4, validation=0.0).split("train")
    masks = [split.read(index)["mask"] for index in range(3)]
    assert all((mask == np.eye(4)).all() for mask in masks)
    (warning,) = said
    assert "b.png: its palette gives other colours to the classes than that of" in warning
