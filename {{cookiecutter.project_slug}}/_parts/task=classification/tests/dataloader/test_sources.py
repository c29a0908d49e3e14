"""Each data source reads what it should, and names the file or the line that is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataloader.sources.class_folders import ClassFolders
from dataloader.sources.digits import Digits
from dataloader.sources.image_table import ImageTable
from dataloader.sources.labelled_files import LabelledFiles
from utils.errors import UserError

COLOURS = {"cat": (250, 0, 0), "grey wolf": (0, 250, 0), "żółw 龟": (0, 0, 250)}


def draw(path: Path, colour: Any, mode: str = "RGB", size: tuple[int, int] = (12, 9)) -> None:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three classes of ten images each."""
    for name, colour in COLOURS.items():
        for number in range(10):
            draw(tmp_path / name / f"photo {number}.png", colour)
    return tmp_path


def names(split: LabelledFiles) -> set[str]:
    return {split.name(index) for index in range(len(split))}


def labels(split: LabelledFiles) -> dict[str, int]:
    return {split.name(index): int(split.read(index)["label"]) for index in range(len(split))}


# The digits


def test_no_writer_of_digits_is_in_two_splits() -> None:
    splits = [Digits().split(name) for name in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [1029, 386, 382]
    assert [split.name(0) for split in splits] == ["digit 0", "digit 1029", "digit 1415"]
    found = np.bincount([int(splits[2].read(index)["label"]) for index in range(382)])
    assert found.min() >= 35  # of each of the ten digits


def test_a_digit_has_the_promised_form_and_a_dark_edge() -> None:
    source = Digits(image_size=(20, 30))
    fields = source.split("train").read(0)
    assert fields.keys() == source.spec.keys()
    for name, field in source.spec.items():
        assert np.asarray(fields[name]).shape == field.shape
        assert np.asarray(fields[name]).dtype == np.dtype(field.dtype)
    image = fields["image"][..., 0]
    assert image.max() > 200
    assert not np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).any()


def test_fewer_digits_are_the_first_ones() -> None:
    few = Digits(train=16, validation=8, test=8)
    assert [len(few.split(name)) for name in ("train", "validation", "test")] == [16, 8, 8]
    for name in ("train", "validation", "test"):
        one, other = few.split(name).read(7), Digits().split(name).read(7)
        assert np.array_equal(one["image"], other["image"])
    assert few.fingerprint != Digits().fingerprint
    for words in ({"train": 0}, {"validation": 387}, {"test": -1}):
        with pytest.raises(UserError, match=rf"data\.source\.{next(iter(words))} must be 1 to"):
            Digits(**words)


# A folder with one folder a class


def test_the_name_of_a_folder_is_the_class(folders: Path) -> None:
    source = ClassFolders(str(folders), image_size=(6, 8))
    assert source.class_names == tuple(sorted(COLOURS))
    seen: dict[str, int] = {}
    for name in ("train", "validation"):
        split = source.split(name)
        seen |= labels(split)
        for index in range(len(split)):
            fields = split.read(index)
            colour = COLOURS[source.class_names[int(fields["label"])]]
            assert (fields["image"] == np.array(colour, np.uint8)).all()
            assert fields["image"].shape == (6, 8, 3)
    assert len(seen) == 30
    assert seen["żółw 龟/photo 3.png"] == 2


def test_class_names_choose_classes_and_their_order(folders: Path) -> None:
    chosen = ["żółw 龟", "cat"]
    source = ClassFolders(str(folders), chosen)
    assert set(labels(source.split("train")).values()) == {0, 1}
    assert {n.split("/")[0] for n in names(source.split("train"))} == set(chosen)


def test_a_file_stays_in_its_split_when_files_come(folders: Path) -> None:
    def members() -> dict[str, set[str]]:
        source = ClassFolders(str(folders), validation=0.3, test=0.2)
        return {name: names(source.split(name)) for name in ("train", "validation", "test")}

    for name, colour in COLOURS.items():
        for number in range(10, 25):
            draw(folders / name / f"photo {number}.png", colour)
    before = members()
    for name, colour in COLOURS.items():
        for number in range(25, 40):
            draw(folders / name / f"photo {number}.png", colour)
    for name, found in members().items():
        assert before[name] <= found
    assert {name.split("/")[0] for name in before["validation"]} == set(COLOURS)


def test_empty_classes_and_single_images_are_learnt_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        draw(tmp_path / "many" / f"{number}.jpg", (9, 9, 9))
    draw(tmp_path / "one" / "only.png", (9, 9, 9))
    (tmp_path / "none").mkdir()
    source = ClassFolders(str(tmp_path))
    assert source.class_names == ("many", "none", "one")
    assert "one/only.png" in names(source.split("train"))
    assert "none: the class has no image to learn from" in caplog.text


@pytest.mark.parametrize(("channels", "expected"), [(1, [76]), (3, [250, 0, 0]), (4, None)])
def test_images_of_every_kind_get_the_channels_that_are_asked_for(
    tmp_path: Path, channels: int, expected: list[int] | None
) -> None:
    for mode in ("L", "RGB", "RGBA", "P", "LA"):
        draw(tmp_path / mode / "a.png", (255, 0, 0) if mode == "P" else (250, 0, 0), mode)
        draw(tmp_path / mode / "b.png", (255, 0, 0) if mode == "P" else (250, 0, 0), mode)
    source = ClassFolders(str(tmp_path), image_size=4, channels=channels)
    split = source.split("train")
    for index in range(len(split)):
        image = split.read(index)["image"]
        assert image.shape == (4, 4, channels)
        mode = split.name(index).split("/")[0]
        if mode in ("RGB", "RGBA") and expected is not None:
            assert abs(image[0, 0].astype(int) - expected).max() <= 2
        if mode in ("L", "LA") and channels > 1:
            assert image[0, 0, 0] == image[0, 0, 1] == image[0, 0, 2]
        if channels == 4:
            assert image[0, 0, 3] == 255


def test_a_folder_for_each_split(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        for name in ("cat", "dog"):
            draw(tmp_path / split / name / f"{split}.png", (1, 2, 3))
    with pytest.raises(UserError, match=r"look like splits, not classes.*\{split\}"):
        ClassFolders(str(tmp_path))
    source = ClassFolders(str(tmp_path / "{split}"))
    assert names(source.split("validation")) == {"cat/validation.png", "dog/validation.png"}
    with pytest.raises(UserError, match="no images for the split 'test'; put folders"):
        source.split("test")


def test_the_fingerprint_follows_files_and_settings(folders: Path) -> None:
    before = ClassFolders(str(folders)).fingerprint
    assert ClassFolders(str(folders)).fingerprint == before
    assert ClassFolders(str(folders), validation=0.3).fingerprint != before
    draw(folders / "cat" / "new.png", (1, 1, 1))
    assert ClassFolders(str(folders)).fingerprint != before


def damaged(root: Path) -> None:
    content = (root / "cat" / "photo 1.png").read_bytes()
    (root / "cat" / "photo 1.png").write_bytes(content[: len(content) // 2])


def text(root: Path) -> None:
    (root / "cat" / "photo 1.png").write_text("<html>")


def deep(root: Path) -> None:
    Image.fromarray(np.zeros((9, 12), np.uint16)).save(root / "cat" / "photo 1.png")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged, r"photo 1\.png: .*image.* Replace or remove the file"),
        (text, r"photo 1\.png: not a readable image .*6 bytes"),
        (deep, r"photo 1\.png: images must have 8 bits"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(folders: Path, damage: Any, message: str) -> None:
    damage(folders)
    split = ClassFolders(str(folders), validation=0.0).split("train")
    with pytest.raises(UserError, match=message):
        for index in range(len(split)):
            split.read(index)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"root": "no such folder"}, "no such folder: there is no such folder. Set data.source"),
        ({"root": "cat"}, "there are no folders here. Expected: one folder of images for each"),
        ({"class_names": ["cat", "dog"]}, "there is no folder dog, which class_names names"),
        ({"class_names": ["cat", "cat"]}, "different names"),
        ({"image_size": 0}, "image_size must be a number of pixels"),
        ({"channels": 0}, "channels must be a whole number"),
        ({"validation": 0.6, "test": 0.4}, "leave something to train on"),
    ],
)
def test_impossible_settings_are_refused(
    folders: Path, settings: dict[str, Any], message: str
) -> None:
    root = str(folders / settings.get("root", "."))
    with pytest.raises(UserError, match=message):
        ClassFolders(**{**settings, "root": root})


def test_a_folder_may_be_elsewhere(folders: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in folders.rglob("*.png"):
        memory.pipe(f"/classes/{path.relative_to(folders).as_posix()}", path.read_bytes())
    source = ClassFolders("memory://classes")
    local = ClassFolders(str(folders))
    assert labels(source.split("train")) == labels(local.split("train"))
    memory.rm("/classes", recursive=True)


# A table of files and labels


def table(root: Path, *lines: str, head: str = "file,label") -> str:
    (root / "table.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return str(root / "table.csv")


def test_a_table_names_files_and_labels(folders: Path) -> None:
    lines = [f"{name}/photo {n}.png,{name}" for name in COLOURS for n in range(10)]
    source = ImageTable(table(folders, *lines), image_size=4)
    assert source.class_names == tuple(sorted(COLOURS))
    found = labels(source.split("train")) | labels(source.split("validation"))
    assert found == {
        line.split(",")[0]: source.class_names.index(line.split(",")[1]) for line in lines
    }


def test_columns_have_any_name_and_say_split_and_weight(folders: Path) -> None:
    lines = [
        "cat/photo 0.png;a cat;0.5;train",
        "cat/photo 1.png;a cat;1;validation",
        "grey wolf/photo 0.png;a wolf;2;train",
    ]
    source = ImageTable(
        table(folders, *lines, head="\ufeffpath;what;how much;set"),
        class_names=["a wolf", "a cat"],
        file_column="path",
        label_column="what",
        split_column="set",
        weight_column="how much",
    )
    split = source.split("train")
    assert labels(split) == {"cat/photo 0.png": 1, "grey wolf/photo 0.png": 0}
    assert [float(split.read(index)["weight"]) for index in range(2)] == [0.5, 2.0]
    assert source.spec["weight"].dtype == "float32"
    with pytest.raises(UserError, match="write it into the column 'set' of some lines"):
        source.split("test")


LINE = "cat/photo 0.png,cat"


@pytest.mark.parametrize(
    ("lines", "settings", "message"),
    [
        ([LINE], {"label_column": "class"}, r"no column class\. Found: file, label"),
        ([], {}, "there are no images below the line of column names"),
        ([LINE, "cat/photo 1.png,"], {}, "line 3: nothing in the column label"),
        ([LINE, ",cat"], {}, "line 3: nothing in the column file"),
        ([LINE, LINE], {}, "line 3: cat/photo 0.png is in line 2, too; remove one"),
        ([LINE], {"class_names": ["dog"]}, r"line 2: the label 'cat' is not in class_names \(dog"),
        ([LINE], {"split_column": "label"}, "line 2: the split is 'cat'; expected one of train"),
        ([LINE], {"weight_column": "label"}, "line 2: the weight is 'cat'; expected a number"),
        (["cat/none.png,cat"], {}, r"cat.none\.png: "),
        ([LINE], {"root": "elsewhere"}, r"elsewhere.cat.photo 0\.png: "),
        ([LINE], {"channels": 5}, "3 bands, the model takes 5"),
    ],
)
def test_a_table_that_cannot_be_used_says_where(
    folders: Path, lines: list[str], settings: dict[str, Any], message: str
) -> None:
    path = table(folders, *lines)
    with pytest.raises(UserError, match=message):
        ImageTable(path, **{"validation": 0.0, **settings}).split("train").read(0)


def test_a_table_that_is_no_text_says_so(folders: Path) -> None:
    (folders / "table.csv").write_bytes("file,label\ncafé.png,café".encode("latin-1"))
    with pytest.raises(UserError, match=r"table\.csv: .*UTF-8"):
        ImageTable(str(folders / "table.csv"))
    with pytest.raises(UserError, match=r"none\.csv"):
        ImageTable(str(folders / "none.csv"))
