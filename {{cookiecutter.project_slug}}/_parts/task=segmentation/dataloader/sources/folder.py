"""A folder of your images and masks as a data source."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from dataloader.sample import SPLITS, check_split_name
from dataloader.sources.image_files import (
    checked_group,
    checked_shares,
    divided,
    file_names,
    no_samples,
)
from dataloader.sources.label_map import LabelMap, Values
from dataloader.sources.labelled_images import LabelledImages
from dataloader.sources.paired_files import (
    Pair,
    PairedFiles,
    checked_orientation,
    stamp_of_pairs,
)
from dataloader.sources.windows import WindowedPairs, split_of
from ops.images.files import endings_of
from ops.images.framing import Framing
from utils.errors import UserError, first_few
from utils.logs import log
from utils.storage import exists, join, resolve, shown

# JPEG is not among them: its compression blurs labels.
MASK_ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm")


class Folder(LabelledImages):
    """Images and masks with the same file names: images/cat.jpg and masks/cat.png.

    Masks hold one value a pixel: a grey level, a palette index or a colour. Images may be of any
    size and kind that Pillow reads with 8 bits a channel; they are used as people see them, the
    EXIF orientation applied (`PairedFiles` says what that means for masks).

    With "{split}" in `images` and `masks` the folders make the splits ("{split}/images" reads
    train/images, validation/images and test/images). Without, a file's name alone decides in which
    split it is, so that it stays there when files are added; the shares are therefore approximate.
    """

    def __init__(
        self,
        root: str,
        class_names: Sequence[str],
        image_size: int | Sequence[int] = 64,
        channels: int = 3,
        images: str = "images",
        masks: str = "masks",
        mask_suffix: str = "",
        mask_values: Sequence[Values] | None = None,
        ignore_value: Values | None = None,
        validation: float = 0.2,
        test: float = 0.0,
        group: str | None = None,
        recursive: bool = False,
        mask_orientation: str = "auto",
        image_suffix: str = "",
        framing: str | Mapping[str, Any] = "stretch",
    ) -> None:
        """Check the settings; files are listed when a split is asked for.

        Args:
            root: The folder, absolute or relative to the project, or a URL that fsspec knows.
            class_names: One name for each class, at most 255.
            image_size: Height and width in pixels of what the model sees; one number for a square.
            channels: 1 for grey images, 3 for RGB, 4 for RGBA; files of other kinds are converted.
                With any other number images are NumPy's files, uint8 [height, width, channels].
            images: The folder of images in `root`; may hold "{split}".
            masks: The folder of masks in `root`; holds "{split}" if `images` does.
            mask_suffix: What a mask's name has more than the common one: "_mask" for cat_mask.png.
            mask_values: For each class its grey level or palette index in the masks, or its colour
                as [r, g, b] or "#rrggbb", or a list of several; None: the class index.
            ignore_value: The level or colour of pixels that count nowhere, or several; None: none.
            validation: The share of files to validate on, 0 to 1; without "{split}" only.
            test: The share of files to test on, 0 to 1; without "{split}" only.
            group: A regular expression whose first parentheses find, in a file's name, what must be
                in one split, such as a patient; without "{split}" only.
            recursive: Whether folders inside of the folders are read, too.
            mask_orientation: What masks are drawn for where a tag turns the image: the image as
                people see it (seen), or its stored pixels (stored); auto goes by the size.
            image_suffix: What an image's name has more than the common one: "_rgb" for cat_rgb.jpg.
            framing: How images become `image_size`: stretch, pad, crop or windows, or the arguments
                of `ops.images.framing.Framing` but the size, by name.

        Raises:
            UserError: If a setting is impossible.
        """
        super().__init__(class_names, image_size, channels)
        self.root = resolve(root)
        self._labels = LabelMap(self.class_names, mask_values, ignore_value)
        self._folders = (images, masks)
        self._suffixes = (image_suffix, mask_suffix)
        self._shares = checked_shares(validation, test)
        self._group = checked_group(group)
        self._recursive = recursive
        self._mask_orientation = checked_orientation(mask_orientation)
        self._framing = Framing.of(framing, self.image_size)
        self._by_folder = _have_splits(images, masks)

    @property
    def facts(self) -> Mapping[str, Any]:
        """See `LabelledImages`; predicted masks hold the values of the masks here."""
        facts = {**super().facts, "mask_values": self._labels.levels}
        return {**facts, **self._framing.facts}

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with any file or setting."""
        pairs = [pair for split in self._pairs.values() for pair in split]
        return "folder-" + stamp_of_pairs(pairs, self._labels, self._shares, *self._settings)

    def split(self, name: str) -> PairedFiles | WindowedPairs:
        """Return "train", "validation" or "test".

        Raises:
            UserError: If the split is empty. A missing mask is an error when it is read.
        """
        check_split_name(name)
        pairs = self._pairs[name]
        if not pairs:
            where = shown(join(self.root, self._folders[0].replace("{split}", name)))
            remedy = f"raise its share (data.source.{name}), or add images"
            if self._by_folder:
                remedy = f"put images there, or in a folder for the split {name!r}"
            raise no_samples(where, name, sum(map(len, self._pairs.values())), remedy)
        form = (self._framing, self.channels, self._mask_orientation)
        return split_of(PairedFiles(pairs, self._labels, *form), self._framing, name)

    @property
    def _settings(self) -> tuple[object, ...]:
        return (self._folders, self._group, self._mask_orientation, self._framing)

    @cached_property
    def _pairs(self) -> dict[str, list[Pair]]:
        if self._by_folder:
            return {name: self._listed(name) for name in SPLITS}
        return divided(self._listed(""), lambda pair: pair.name, *self._shares, self._group)

    def _listed(self, split: str) -> list[Pair]:
        image_folder, mask_folder = (
            join(self.root, part.replace("{split}", split)) for part in self._folders
        )
        if split and split != "train" and not exists(image_folder):
            return []
        has_masks = split in ("", "train") or exists(mask_folder)
        # A split is looked at when it is asked for: one without masks can be predicted.
        self._check_folders(image_folder, *([mask_folder] if has_masks else []))
        image_suffix, mask_suffix = self._suffixes
        endings = endings_of(self.channels)
        images = _by_stem(image_folder, endings, self._recursive, image_suffix)
        masks = _by_stem(mask_folder, MASK_ENDINGS, self._recursive) if has_masks else {}
        if not images:
            raise UserError(
                f"{shown(image_folder)}: there are no images here. Files that count end in: "
                f"{' '.join(image_suffix + ending for ending in endings)}"
            )
        wanted = {stem: stem + mask_suffix for stem in images}
        missing = [stem for stem, mask in wanted.items() if mask not in masks]
        unused = [masks[stem] for stem in sorted(masks.keys() - set(wanted.values()))]
        if unused:
            text = "%s: %d masks have no image and are not used: %s"
            log.warning(text, shown(mask_folder), len(unused), first_few(unused))
        count = f"{len(missing)} of {len(images)} images here have none"
        pairs = []
        for stem, file in images.items():
            image = join(image_folder, file)
            mask = join(mask_folder, masks.get(wanted[stem], wanted[stem] + MASK_ENDINGS[0]))
            said = _no_mask(image, mask, count) if wanted[stem] not in masks else None
            pairs.append(Pair(stem, image, mask, said))
        return pairs

    def _check_folders(self, *folders: str) -> None:
        for folder in [folder for folder in folders if not exists(folder)]:
            hint = ""
            if not self._by_folder and exists(join(self.root, "train")):
                hint = (
                    " There is a folder train, so the splits may be folders: "
                    "set images: '{split}/images' and masks: '{split}/masks'."
                )
            raise UserError(
                f"{shown(folder)}: there is no such folder.{hint} Set data.source.root, images and "
                "masks to where the files are; a relative root is relative to the project's folder."
            )


def _have_splits(images: str, masks: str) -> bool:
    """Return whether the folders make the splits; a UserError if only one of them would."""
    if ("{split}" in images) != ("{split}" in masks):
        raise UserError(
            'images and masks must both hold "{split}", or neither. '
            f"Received: images: {images!r}, masks: {masks!r}"
        )
    return "{split}" in images


def _by_stem(
    folder: str, endings: tuple[str, ...], recursive: bool, suffix: str = ""
) -> dict[str, str]:
    """Return the files of a folder by their name without suffix and ending."""
    files: dict[str, str] = {}
    names = file_names(folder, endings, recursive)
    others = [name for name in names if not os.path.splitext(name)[0].endswith(suffix)]
    if others:
        text = "%s: %d files have no %s before their ending, and are no images: %s"
        log.warning(text, shown(folder), len(others), suffix, first_few(others))
    for file in sorted(set(names) - set(others)):
        stem = os.path.splitext(file)[0].removesuffix(suffix)
        if stem in files:
            raise UserError(
                f"{shown(folder)}: {files[stem]} and {file} have the same name. Remove one of them."
            )
        files[stem] = file
    return files


def _no_mask(image: str, mask: str, count: str) -> str:
    return (
        f"{shown(image)}: this image has no mask ({count}). Expected: {shown(mask)}; masks may end "
        f"in {' '.join(MASK_ENDINGS)} (JPEG would blur the labels). Add the mask or remove the "
        "image."
    )
