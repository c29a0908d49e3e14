"""A CSV file that names images and their classes as a data source."""

import math
import posixpath
from collections.abc import Mapping, Sequence
from functools import cached_property

from dataloader.sample import SPLITS, check_split_name
from dataloader.sources.image_files import (
    checked_group,
    checked_shares,
    divided,
    no_samples,
    path_in_table,
    stamp_of_files,
    table_rows,
)
from dataloader.sources.labelled_files import LabelledFile, LabelledFiles, LabelledImages
from utils.errors import UserError, first_few
from utils.storage import resolve, shown


class ImageTable(LabelledImages):
    """Images that a CSV file lists, one a line, below a line with the names of the columns.

    Fields are separated by commas or, if the first line says so, by semicolons or tabs; the text is
    UTF-8. Further columns may name the split of each image and its weight in training.
    """

    def __init__(
        self,
        table: str,
        root: str | None = None,
        class_names: Sequence[str] | None = None,
        image_size: int | Sequence[int] = 64,
        channels: int = 3,
        file_column: str = "file",
        label_column: str = "label",
        split_column: str | None = None,
        weight_column: str | None = None,
        validation: float = 0.2,
        test: float = 0.0,
        group: str | None = None,
    ) -> None:
        """Read the table; images are opened when they are read.

        Args:
            table: The CSV file, absolute or relative to the project, or a URL that fsspec knows.
            root: The folder that paths in the table begin in; None: that of the table.
            class_names: The labels in the order of the class indices; None: all that occur, sorted.
            image_size: Height and width in pixels that every image is resized to; one number for
                a square.
            channels: 1 for grey images, 3 for RGB, 4 for RGBA; files of other kinds are converted.
                With any other number images are NumPy's files, uint8 [height, width, channels].
            file_column: The column with the path of the image.
            label_column: The column with the name of the class.
            split_column: The column with train, validation or test; None: an image's path alone
                decides in which split it is, class by class.
            weight_column: The column with a number of 0 or greater, for `data.sampler: weighted`;
                None: samples have no weight.
            validation: The share of images to validate on, 0 to 1; without `split_column` only.
            test: The share of images to test on, 0 to 1; without `split_column` only.
            group: A regular expression whose first parentheses find, in a path of the table, what
                must be in one split, such as a patient; without `split_column` only.

        Raises:
            UserError: If a setting is impossible, or a line of the table cannot be used.
        """
        self._table = resolve(table)
        self._root = posixpath.dirname(self._table) if root is None else resolve(root)
        self._shares = checked_shares(validation, test)
        self._group = checked_group(group)
        self._split_column = split_column
        columns = [file_column, label_column, split_column, weight_column]
        self._rows = table_rows(self._table, columns)
        known = class_names or sorted({row[label_column] for _, row in self._rows})
        super().__init__(known, image_size, channels, weighted=weight_column is not None)
        self._columns = (file_column, label_column, weight_column)

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with any file or setting."""
        files = [file for split in self._files.values() for file in split]
        settings = [(f.label, f.weight) for f in files]
        return "image-table-" + stamp_of_files((f.path for f in files), settings)

    def split(self, name: str) -> LabelledFiles:
        """Return "train", "validation" or "test"; a UserError says if it is empty."""
        check_split_name(name)
        files = self._files[name]
        if not files:
            remedy = f"raise its share (data.source.{name})"
            if self._split_column is not None:
                remedy = f"write it into the column {self._split_column!r} of some lines"
            raise no_samples(shown(self._table), name, len(self._rows), remedy)
        return LabelledFiles(files, self.image_size, self.channels)

    @cached_property
    def _files(self) -> dict[str, list[LabelledFile]]:
        """The images of each split."""
        files: dict[str, list[LabelledFile]] = {split: [] for split in SPLITS}
        of_class: dict[int, list[LabelledFile]] = {}
        seen: dict[str, int] = {}
        for line, row in self._rows:
            file = self._file(line, row)
            if seen.setdefault(file.path, line) != line:
                first = seen[file.path]
                raise self._problem(line, f"{file.name} is in line {first}, too; remove one")
            if self._split_column is None:
                # A group may hold samples of several classes.
                of_class.setdefault(0 if self._group else file.label, []).append(file)
            elif row[self._split_column] in SPLITS:
                files[row[self._split_column]].append(file)
            else:
                found = f"the split is {row[self._split_column]!r}"
                raise self._problem(line, f"{found}; expected one of {', '.join(SPLITS)}")
        for label in sorted(of_class):
            some = divided(of_class[label], lambda file: file.name, *self._shares, self._group)
            for split in SPLITS:
                files[split] += some[split]
        return files

    def _file(self, line: int, row: Mapping[str, str]) -> LabelledFile:
        file_column, label_column, weight_column = self._columns
        name, label = row[file_column], row[label_column]
        if label not in self.class_names:
            known = first_few(self.class_names)
            raise self._problem(line, f"the label {label!r} is not in class_names ({known})")
        weight = None if weight_column is None else self._weight(line, row[weight_column])
        path = path_in_table(self._root, name)
        return LabelledFile(name, path, self.class_names.index(label), weight)

    def _weight(self, line: int, text: str) -> float:
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not 0 <= weight < math.inf:
            raise self._problem(line, f"the weight is {text!r}; expected a number of 0 or greater")
        return weight

    def _problem(self, line: int, text: str) -> UserError:
        return UserError(f"{shown(self._table)}, line {line}: {text}.")
