"""`main.py check` looks into the data: damaged files, how often each class comes."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def source(tmp_path: Path) -> dict[str, Any]:
    """A folder of two classes, and of one that has no image."""
    for name, count in {"a": 6, "b": 3, "unseen": 0}.items():
        (tmp_path / "mine" / name).mkdir(parents=True)
        for index in range(count):
            Image.new("L", (16, 16), index).save(tmp_path / "mine" / name / f"{index}.png")
    return {
        "target": "dataloader.sources.class_folders:ClassFolders",
        "root": str(tmp_path / "mine"),
        "image_size": 8,
        "channels": 1,
    }


def test_classes_are_counted_and_one_that_no_sample_shows_is_a_warning(
    check: Any, source: dict[str, Any]
) -> None:
    lines = check(f"data.source={json.dumps(source)}")
    (counts,) = [line for line in lines if line.startswith("ok   classes: ")]
    shown = dict(part.rsplit(" ", 1) for part in counts.removeprefix("ok   classes: ").split(", "))
    assert shown["unseen"] == "0"
    assert 5 <= int(shown["a"]) + int(shown["b"]) <= 8  # the rest is to validate on
    assert "warn classes: no training sample shows unseen" in lines


def test_a_damaged_file_is_found(refused: Any, source: dict[str, Any]) -> None:
    Path(source["root"], "b", "1.png").write_text("no image")
    (line,) = refused(f"data.source={json.dumps(source)}")
    assert "data: " in line
    assert "1.png: not a readable image" in line
