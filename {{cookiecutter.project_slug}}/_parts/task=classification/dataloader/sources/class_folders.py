"""A folder with one folder of images for each class as a data source."""

import os
from collections.abc import Sequence
from functools import cached_property

from dataloader.sample import SPLITS, check_split_name
from dataloader.sources.image_files import (
    IMAGE_ENDINGS,
    checked_shares,
    divided,
    stamp_of_files,
)
from dataloader.sources.labelled_files import LabelledFile, LabelledFiles, LabelledImages
from utils.errors import UserError, first_few
from utils.logs import log
from utils.storage import exists, join, list_folder, resolve, shown


class ClassFolders(LabelledImages):
    """Images in folders that are named like their class: cat/1.jpg, dog/1.jpg.

    Images may be of any size and kind that Pillow reads with 8 bits a channel; they are used as
    people see them, the EXIF orientation applied.

    With "{split}" in `root` the folders make the splits ("pets/{split}" reads pets/train/cat,
    pets/validation/cat and pets/test/cat). Without, a file's name alone decides in which split it
    is, class by class, so that it stays there when files are added; the shares are approximate.
    """

    def __init__(
        self,
        root: str,
        class_names: Sequence[str] | None = None,
        image_size: int | Sequence[int] = 64,
        channels: int = 3,
        validation: float = 0.2,
        test: float = 0.0,
    ) -> None:
        """List the classes; files are listed when a split is asked for.

        Args:
            root: The folder, absolute or relative to the project, or a URL that fsspec knows; may
                hold "{split}".
            class_names: The folders to use, in the order of the class indices; None: all, sorted
                by name.
            image_size: Height and width in pixels that every image is resized to; one number for
                a square.
            channels: 1 for grey images, 3 for RGB, 4 for RGBA; files of other kinds are converted.
            validation: The share of files to validate on, 0 to 1; without "{split}" only.
            test: The share of files to test on, 0 to 1; without "{split}" only.

        Raises:
            UserError: If a setting is impossible, or there are no folders.
        """
        self.root = resolve(root)
        self._by_folder = "{split}" in root
        self._shares = checked_shares(validation, test)
        first = self._folder("train")
        found = _folders(first)
        missing = [name for name in class_names or () if name not in found]
        if missing:
            raise UserError(
                f"{shown(first)}: there is no folder {first_few(missing)}, which class_names "
                f"names. Found: {first_few(found)}"
            )
        unused = [name for name in found if class_names is not None and name not in class_names]
        if unused:
            text = "%s: %d folders are not in class_names and not used: %s"
            log.warning(text, shown(first), len(unused), first_few(unused))
        super().__init__(found if class_names is None else class_names, image_size, channels)

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with any file or setting."""
        paths = (file.path for files in self._files.values() for file in files)
        return "class-folders-" + stamp_of_files(paths, self.class_names, self._shares)

    def split(self, name: str) -> LabelledFiles:
        """Return "train", "validation" or "test"; a UserError says if it is empty."""
        check_split_name(name)
        files = self._files[name]
        if not files:
            remedy = f"raise its share (data.source.{name}), or add images"
            if self._by_folder:
                remedy = "put folders of images there"
            where = shown(self._folder(name))
            raise UserError(f"{where}: no images for the split {name!r}; {remedy}.")
        return LabelledFiles(files, self.image_size, self.channels)

    @cached_property
    def _files(self) -> dict[str, list[LabelledFile]]:
        if self._by_folder:
            return {
                split: [file for name in self.class_names for file in self._of_class(name, split)]
                for split in SPLITS
            }
        files: dict[str, list[LabelledFile]] = {split: [] for split in SPLITS}
        for name in self.class_names:
            of_class = self._of_class(name, "train")
            if of_class:
                for split, some in divided(of_class, lambda f: f.name, *self._shares).items():
                    files[split] += some
        return files

    def _of_class(self, class_name: str, split: str) -> list[LabelledFile]:
        folder = join(self._folder(split), class_name)
        if not exists(folder):  # of a class that only the training has
            return []
        names = [
            name
            for name in list_folder(folder)[0]
            if os.path.splitext(name)[1].lower() in IMAGE_ENDINGS and not name.startswith(".")
        ]
        if not names and split == "train":
            endings = " ".join(IMAGE_ENDINGS)
            text = "%s: the class has no image to learn from; files that count end in %s"
            log.warning(text, shown(folder), endings)
        label = self.class_names.index(class_name)
        return [LabelledFile(f"{class_name}/{n}", join(folder, n), label) for n in names]

    def _folder(self, split: str) -> str:
        return self.root.replace("{split}", split)


def _folders(root: str) -> list[str]:
    """Return the names of the folders in a folder; a UserError says if there are none."""
    if not exists(root):
        raise UserError(
            f"{shown(root)}: there is no such folder. Set data.source.root to a folder that holds "
            "one folder of images for each class; a relative one is relative to the project's "
            "folder."
        )
    found = [name for name in list_folder(root)[1] if not name.startswith(".")]
    if not found:
        raise UserError(
            f"{shown(root)}: there are no folders here. Expected: one folder of images for each "
            "class, for example cat/ and dog/."
        )
    if "train" in found and set(found) <= {*SPLITS, "val"}:
        raise UserError(
            f"{shown(root)}: the folders {', '.join(found)} look like splits, not classes. Set "
            f"data.source.root to '{shown(root)}/{{split}}' (the splits are: {', '.join(SPLITS)})."
        )
    return found
