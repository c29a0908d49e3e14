"""Samples that cannot be used are an error that names the file, or are left out and counted."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.schema import CFG
from dataloader.build import load_split, open_source
from dataloader.cache import decode
from dataloader.decoded import Decoded, DecodeOptions
from dataloader.sample import Field
from main import main
from utils.errors import UserError
from utils.logs import log
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")
SIZE = (16, 16)
COUNT = 12
SPEC = {"image": Field((*SIZE, 3)), "mask": Field(SIZE, labels=2, ignored=255)}


class Layout:
    """Where a folder of data has the files of a sample, and how it is configured."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = root / "images"
        self.masks = root / "masks"
        for folder in (self.images, self.masks):
            folder.mkdir(parents=True)
        for index in range(COUNT):
            noise = np.random.default_rng(index).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(noise).save(self.image(index))
            labels = np.full((20, 30), index % 3, dtype=np.uint8)
            Image.fromarray(labels).save(self.mask(index))

    def name(self, index: int) -> str:
        return f"sample_{index:02d}"

    def image(self, index: int) -> Path:
        return self.images / f"{self.name(index)}.jpg"

    def mask(self, index: int) -> Path:
        return self.masks / f"{self.name(index)}.png"

    @property
    def source(self) -> dict[str, Any]:
        return {
            "target": "dataloader.sources.folder:Folder",
            "root": str(self.root),
            "class_names": ["a", "b", "c"],
            "image_size": list(SIZE),
            "validation": 0.0,
        }

    def load(self, split: str = "train", **data: Any) -> Decoded:
        data = {"workers": 0, "source": self.source, **data}
        cfg = CFG.model_validate({"data": data, "model": {"target": "model.unet:UNet"}})
        return load_split(cfg.data, open_source(cfg.data), split)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lists the warnings so far."""
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.WARNING, log.name)
    return lambda: [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def truncated_image(layout: Layout, index: int) -> str:
    truncate(layout.image(index))
    return rf"{layout.name(index)}\.jpg: .*cannot be decoded.*Expected.*Replace"


def truncated_png(layout: Layout, index: int) -> str:
    with Image.open(layout.image(index)) as picture:
        picture.save(layout.image(index), "PNG")
    return truncated_image(layout, index)


def truncated_mask(layout: Layout, index: int) -> str:
    truncate(layout.mask(index))
    return rf"{layout.name(index)}\.png: .*cannot be decoded.*Expected.*Replace"


def text_for_image(layout: Layout, index: int) -> str:
    layout.image(index).write_text("<html>not found</html>")
    return rf"{layout.name(index)}\.jpg: not a readable image .*22 bytes.*Expected.*Replace"


def empty_mask(layout: Layout, index: int) -> str:
    layout.mask(index).write_bytes(b"")
    return rf"{layout.name(index)}\.png: not a readable image .*0 bytes"


def other_size(layout: Layout, index: int) -> str:
    Image.new("L", (31, 20)).save(layout.mask(index))
    name = layout.name(index)
    return rf"{name}\.png: .*31 x 20 .*{name}\.jpg is 30 x 20.*must be the same"


def unknown_label(layout: Layout, index: int) -> str:
    Image.new("L", (30, 20), 77).save(layout.mask(index))
    return rf"{layout.name(index)}\.png: .*unknown labels: 77 at 600 pixels\. Known: "


def missing_mask(layout: Layout, index: int) -> str:
    layout.mask(index).unlink()
    return rf"{layout.name(index)}\.png.*(Add the mask|put it there)"


FAULTS = [
    truncated_image,
    truncated_png,
    truncated_mask,
    text_for_image,
    empty_mask,
    other_size,
    unknown_label,
    missing_mask,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_sample_is_an_error_that_names_the_file(layout: Layout, fault: Any) -> None:
    message = fault(layout, 4)
    with pytest.raises(UserError, match=message) as caught:
        layout.load().take(np.arange(COUNT))
    assert "data.on_bad_sample=skip" in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_sample_is_left_out_with_a_warning(layout: Layout, fault: Any, warnings: Any) -> None:
    kept = [index for index in range(COUNT) if index != 4]
    whole = layout.load().take(np.array(kept))
    message = fault(layout, 4)
    decoded = layout.load(on_bad_sample="skip")
    assert decoded.names == tuple(map(layout.name, kept))
    for name, array in decoded.fields.items():
        assert np.array_equal(array, whole[name])
    (warning,) = warnings()
    assert warning.startswith("left out of the split 'train': ")
    assert "\n" not in warning
    with pytest.raises(UserError, match=message):
        raise UserError(warning)


def test_masks_without_an_image_are_named_and_not_used(layout: Layout, warnings: Any) -> None:
    layout.image(3).unlink()
    assert len(layout.load()) == COUNT - 1
    assert "1 masks have no image and are not used: sample_03.png" in warnings()[0]


def test_too_many_bad_samples_are_an_error_that_lists_the_first(layout: Layout) -> None:
    for index in (2, 3, 5, 7, 8, 9, 11):
        unknown_label(layout, index)
    assert len(layout.load(on_bad_sample="skip", bad_sample_limit=7)) == COUNT - 7
    with pytest.raises(UserError) as caught:
        layout.load(on_bad_sample="skip", bad_sample_limit=6)
    lines = str(caught.value).splitlines()
    assert "The split 'train' has 7 bad samples among its first 12 of 12" in lines[0]
    assert "data.bad_sample_limit=6" in lines[0]
    for index, line in zip((2, 3, 5, 7, 8), lines[1:6], strict=True):
        assert f"sample_{index:02d}.png: " in line
    assert lines[6] == "  and 2 more"


def test_a_split_of_bad_samples_alone_is_an_error(layout: Layout) -> None:
    for index in range(COUNT):
        truncated_image(layout, index)
    with pytest.raises(UserError, match="one at least must remain"):
        layout.load(on_bad_sample="skip", bad_sample_limit=100)


def test_an_empty_split_is_always_an_error(layout: Layout) -> None:
    class Nothing:
        def __len__(self) -> int:
            return 0

    with pytest.raises(UserError, match="is empty"):
        decode(Nothing(), SPEC, DecodeOptions(may_skip=5))  # type: ignore[arg-type]
    for index in range(COUNT):
        layout.image(index).unlink()
    with pytest.raises(UserError, match="images: there are no images"):
        layout.load(on_bad_sample="skip")


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_number_of_threads_changes_nothing(
    tmp_path: Path, cache: str, workers: int, warnings: Any
) -> None:
    split = Numbered(500, bad=range(3, 500, 40))
    options = DecodeOptions(workers, cache, str(tmp_path), may_skip=13)  # type: ignore[arg-type]
    decoded = decode(split, SPEC, options)
    kept = [index for index in range(500) if index % 40 != 3]
    assert decoded.fields["image"][:, 3, 3, 1].tolist() == [index % 256 for index in kept]
    assert decoded.fields["mask"][:, 3, 3].tolist() == [index % 2 for index in kept]
    assert decoded.names == tuple(f"sample {index}" for index in kept)
    assert warnings() == [f"left out of the split: sample {i}: bad" for i in range(3, 500, 40)]
    with pytest.raises(UserError) as caught:
        decode(split, SPEC, replace(options, may_skip=4))
    assert "5 bad samples among its first 176 of 500" in str(caught.value)


class Numbered:
    """A split whose sample i is filled with i, and of which some cannot be read."""

    def __init__(self, count: int, bad: Any = (), error: type[Exception] = UserError) -> None:
        self.count, self.bad, self.error, self.reads = count, set(bad), error, 0

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"sample {index}"

    def read(self, index: int) -> dict[str, np.ndarray]:
        self.reads += 1
        if index in self.bad:
            raise self.error(f"sample {index}: bad")
        image = np.full((*SIZE, 3), index % 256, np.uint8)
        return {"image": image, "mask": np.full(SIZE, index % 2, np.uint8)}


def test_the_cache_on_disk_remembers_what_was_left_out(tmp_path: Path, warnings: Any) -> None:
    def load(may_skip: int) -> tuple[Decoded, int]:
        split = Numbered(40, bad=(0, 17, 39))
        options = DecodeOptions(0, "disk", str(tmp_path), may_skip=may_skip)
        return decode(split, SPEC, options), split.reads

    (first, reads), (again, bad) = load(3), load(3)
    assert (reads, bad) == (40, 3)  # they may have been corrected
    assert first.names == again.names
    assert len(again) == 37
    assert np.array_equal(first.fields["image"], again.fields["image"])
    assert warnings()[:3] == warnings()[3:]
    with pytest.raises(UserError, match="sample 0: bad"):
        load(0)[0].take(np.arange(40))


@pytest.mark.parametrize("fault", [missing_mask, truncated_mask])
def test_the_cache_on_disk_works_with_files_that_are_missing(
    layout: Layout, tmp_path: Path, fault: Any
) -> None:
    fault(layout, 5)
    settings = {"cache": "disk", "cache_dir": str(tmp_path / "cache"), "on_bad_sample": "skip"}
    names = {layout.load(**settings).names for _ in range(2)}
    assert {len(name) for name in names} == {COUNT - 1}
    with pytest.raises(UserError, match="sample_05"):
        layout.load(**{**settings, "on_bad_sample": "raise"}).take(np.arange(COUNT))


@pytest.mark.parametrize("error", [TypeError, OSError, KeyError])
def test_a_mistake_in_a_source_s_code_is_never_skipped(error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        decode(Numbered(9, bad=[5], error=error), SPEC, DecodeOptions(may_skip=5))
    assert "sample 5" in caught.value.__notes__[0]


def test_a_sample_of_another_form_is_never_skipped() -> None:
    class Wrong(Numbered):
        def read(self, index: int) -> dict[str, np.ndarray]:
            return {**super().read(index), "image": np.zeros((*SIZE, 4), np.uint8)}

    with pytest.raises(UserError, match=r"must return the image as uint8 \[16, 16, 3\]"):
        decode(Wrong(9), SPEC, DecodeOptions(may_skip=9))


def test_a_label_of_a_source_of_ones_own_that_is_out_of_range(warnings: Any) -> None:
    class Strange(Numbered):
        def read(self, index: int) -> dict[str, np.ndarray]:
            fields = super().read(index)
            return {**fields, "mask": fields["mask"] + np.uint8(7 if index == 2 else 0)}

    with pytest.raises(UserError, match="sample 2: the mask holds 7 at 256 of 256 places"):
        decode(Strange(9), SPEC, DecodeOptions()).take(np.arange(9))
    assert len(decode(Strange(9), SPEC, DecodeOptions(may_skip=1))) == 8
    assert len(warnings()) == 1


def test_a_run_counts_the_samples_that_are_left(layout: Layout, tmp_path: Path) -> None:
    source = {**layout.source, "validation": 0.4}
    whole = layout.load(source=source).names
    unknown_label(layout, int(whole[0][-2:]))
    words = [f"data.source={json.dumps(source)}", "data.on_bad_sample=skip"]
    words += ["train.batch_size=1", "train.max_steps=null", f"run.dir={tmp_path / 'run'}"]
    main(["train", "--config", TINY, "run.tensorboard=false", *words])
    rows = [json.loads(r) for r in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == len(whole) - 1
    assert rows[-1]["epoch"] == 1.0
