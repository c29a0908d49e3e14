"""`main.py check` looks into the data: labels out of range, and classes that nothing shows."""

import json
from pathlib import Path
from typing import Any

from PIL import Image


def test_a_label_out_of_range_is_found(refused: Any, tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "mine" / part).mkdir(parents=True)
    for index in range(8):
        picture = Image.new("L", (16, 16), 5 if index == 3 else index % 2)
        picture.save(tmp_path / "mine" / "masks" / f"{index}.png")
        picture.save(tmp_path / "mine" / "images" / f"{index}.png")
    source = {"target": "dataloader.sources.folder:Folder", "root": str(tmp_path / "mine")}
    (line,) = refused(f"data.source={json.dumps({**source, 'class_names': ['a', 'b']})}")
    assert "data: " in line
    assert "3.png: the mask holds unknown labels: 5 at 256 pixels" in line


def test_a_class_that_no_sample_shows_is_a_warning(check: Any, tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "mine" / part).mkdir(parents=True)
    for index in range(8):
        picture = Image.new("L", (16, 16), index % 2)
        picture.save(tmp_path / "mine" / "masks" / f"{index}.png")
        picture.save(tmp_path / "mine" / "images" / f"{index}.png")
    source = {"target": "dataloader.sources.folder:Folder", "root": str(tmp_path / "mine")}
    lines = check(f"data.source={json.dumps({**source, 'class_names': ['a', 'b', 'unseen']})}")
    assert "warn class shares: no training sample shows unseen" in lines
