"""Which files count, what is said of the others, and how files are divided."""

import logging

import pytest

from dataloader.sources.image_files import (
    checked_group,
    divided,
    file_names,
    no_samples,
)
from ops.images.files import IMAGE_ENDINGS
from utils.errors import UserError
from utils.logs import log

NAMES = [f"p{patient}_{letter}" for patient in range(12) for letter in "abcd"]


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.WARNING, log.name)
    return lambda: [record.getMessage() for record in caplog.records]


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_that_do_not_count_are_counted_in_one_line(tmp_path, warnings):
    make(tmp_path, "a.jpg", "b.JFIF", "c.heic", "d.heic", "notes.txt", "README", "._a.jpg")
    make(tmp_path, "more/e.png", "x.png/f.png", ".cache/g.png")
    assert file_names(str(tmp_path), IMAGE_ENDINGS) == ["a.jpg", "b.JFIF"]
    (said,) = warnings()
    assert "not used: 2 ending in .heic, 1 ending in .txt, 1 ending in nothing" in said
    assert "what is in 2 folders here (recursive: true reads them)" in said


def test_folders_inside_are_read_where_that_is_asked_for(tmp_path, warnings):
    make(tmp_path, "a.jpg", "more/e.png", "more/deep/f.png", "more/g.txt", ".cache/g.png")
    found = file_names(str(tmp_path), IMAGE_ENDINGS, recursive=True)
    assert found == ["a.jpg", "more/deep/f.png", "more/e.png"]
    (said,) = warnings()
    assert said.endswith(f"{tmp_path.name}: not used: 1 ending in .txt")


def parts(group, validation=0.3, test=0.2, names=NAMES):
    return divided(names, lambda name: name, validation, test, group)


def test_a_group_is_in_one_split():
    found = parts(r"^(p\d+)_")
    owners = {split: {name.split("_")[0] for name in names} for split, names in found.items()}
    assert sum(map(len, owners.values())) == 12
    assert all(owners.values())
    assert sorted(name for names in found.values() for name in names) == sorted(NAMES)
    # Without groups the same patients are on both sides.
    alone = {split: {name.split("_")[0] for name in names} for split, names in parts(None).items()}
    assert alone["train"] & alone["validation"]


def test_a_group_stays_where_it_is_when_samples_come():
    before = parts(r"^(p\d+)_")
    after = parts(r"^(p\d+)_", names=[*NAMES, "p3_e", "p40_a", "p41_a"])
    for split, names in before.items():
        assert set(names) <= set(after[split])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_groups_give_each_split_one(count):
    names = [name for name in NAMES if int(name[1 : name.index("_")]) < count]
    found = parts(r"^(p\d+)_", names=names)
    assert found["train"]
    assert bool(found["validation"]) == (count > 1)
    assert bool(found["test"]) == (count > 2)


def test_groups_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="no regular expression"):
        checked_group("(")
    with pytest.raises(UserError, match="needs parentheses"):
        checked_group("^p")
    with pytest.raises(UserError, match=r"finds nothing in 'p0_a'"):
        parts("^(q)")


def test_one_sample_cannot_be_divided():
    assert "a single sample cannot be divided" in str(no_samples("data", "validation", 1, "x"))
    assert "raise it" in str(no_samples("data", "validation", 2, "raise it"))
