"""A folder with one folder of images for each class as a data source."""

from collections.abc import Sequence
from functools import cached_property

from dataloader.sample import SPLITS, check_split_name
from dataloader.sources.image_files import (
    checked_group,
    checked_shares,
    divided,
    file_names,
    no_samples,
    stamp_of_files,
)
from dataloader.sources.labelled_files import LabelledFile, LabelledFiles, LabelledImages
from ops.images.files import IMAGE_ENDINGS, endings_of
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
        group: str | None = None,
        recursive: bool = False,
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
                With any other number images are NumPy's files, uint8 [height, width, channels].
            validation: The share of files to validate on, 0 to 1; without "{split}" only.
            test: The share of files to test on, 0 to 1; without "{split}" only.
            group: A regular expression whose first parentheses find, in a file's name (cat/1.jpg),
                what must be in one split, such as a patient; without "{split}" only.
            recursive: Whether folders inside of the class folders are read, too.

        Raises:
            UserError: If a setting is impossible, or there are no folders.
        """
        self.root = resolve(root)
        self._by_folder = "{split}" in root
        self._shares = checked_shares(validation, test)
        self._group = checked_group(group)
        self._recursive = recursive
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
        return "class-folders-" + stamp_of_files(paths, self.class_names, self._shares, self._group)

    def split(self, name: str) -> LabelledFiles:
        """Return "train", "validation" or "test"; a UserError says if it is empty."""
        check_split_name(name)
        files = self._files[name]
        if not files:
            remedy = f"raise its share (data.source.{name}), or add images"
            if self._by_folder:
                remedy = "put folders of images there"
            count = sum(map(len, self._files.values()))
            raise no_samples(shown(self._folder(name)), name, count, remedy)
        return LabelledFiles(files, self.image_size, self.channels)

    @cached_property
    def _files(self) -> dict[str, list[LabelledFile]]:
        if self._by_folder:
            return {
                split: [file for name in self.class_names for file in self._of_class(name, split)]
                for split in SPLITS
            }
        found = [self._of_class(name, "train") for name in self.class_names]
        if self._group is not None:  # which may hold samples of several classes
            found = [[file for of_class in found for file in of_class]]
        files: dict[str, list[LabelledFile]] = {split: [] for split in SPLITS}
        for some in filter(None, found):
            parts = divided(some, lambda f: f.name, *self._shares, self._group)
            for split, part in parts.items():
                files[split] += part
        return files

    def _of_class(self, class_name: str, split: str) -> list[LabelledFile]:
        folder = join(self._folder(split), class_name)
        if not exists(folder):  # of a class that only the training has
            return []
        endings = endings_of(self.channels)
        names = file_names(folder, endings, self._recursive)
        if not names and split == "train":
            text = "%s: the class has no image to learn from; files that count end in %s"
            log.warning(text, shown(folder), " ".join(endings))
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
    files, folders = list_folder(root)
    found = [name for name in folders if not name.startswith(".")]
    beside = [name for name in files if name.lower().endswith(IMAGE_ENDINGS) and name[0] != "."]
    if found and beside:
        text = "%s: %d images beside the class folders are not used: %s"
        log.warning(text, shown(root), len(beside), first_few(beside))
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
