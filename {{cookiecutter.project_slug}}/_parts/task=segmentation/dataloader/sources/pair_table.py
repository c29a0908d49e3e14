"""A CSV file that names images and their masks as a data source."""

import posixpath
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from dataloader.sample import SPLITS, check_split_name
from dataloader.sources.image_files import (
    checked_group,
    checked_shares,
    divided,
    no_samples,
    path_in_table,
    table_rows,
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
from ops.images.framing import Framing
from utils.errors import UserError
from utils.storage import resolve, shown


class PairTable(LabelledImages):
    """Images and masks that a CSV file lists, a pair a line, below a line of column names.

    Fields are separated by commas or, if the first line says so, by semicolons or tabs; the text is
    UTF-8. A further column may name the split of each pair.
    """

    def __init__(
        self,
        table: str,
        class_names: Sequence[str],
        root: str | None = None,
        image_size: int | Sequence[int] = 64,
        channels: int = 3,
        image_column: str = "image",
        mask_column: str = "mask",
        split_column: str | None = None,
        mask_values: Sequence[Values] | None = None,
        ignore_value: Values | None = None,
        validation: float = 0.2,
        test: float = 0.0,
        group: str | None = None,
        mask_orientation: str = "auto",
        framing: str | Mapping[str, Any] = "stretch",
    ) -> None:
        """Read the table; images are opened when they are read.

        Args:
            table: The CSV file, absolute or relative to the project, or a URL that fsspec knows.
            class_names: One name for each class, at most 255.
            root: The folder that paths in the table begin in; None: that of the table.
            image_size: As for `dataloader.sources.folder.Folder`, like all arguments but these.
            channels: See there.
            image_column: The column with the path of the image.
            mask_column: The column with the path of the mask.
            split_column: The column with train, validation or test; None: an image's path alone
                decides in which split it is.
            mask_values: See there.
            ignore_value: See there.
            validation: The share of images to validate on, 0 to 1; without `split_column` only.
            test: The share of images to test on, 0 to 1; without `split_column` only.
            group: See there; it looks at an image's path in the table.
            mask_orientation: See there.
            framing: See there.

        Raises:
            UserError: If a setting is impossible, or a line of the table cannot be used.
        """
        super().__init__(class_names, image_size, channels)
        self._labels = LabelMap(self.class_names, mask_values, ignore_value)
        self._shares = checked_shares(validation, test)
        self._group = checked_group(group)
        self._mask_orientation = checked_orientation(mask_orientation)
        self._framing = Framing.of(framing, self.image_size)
        self._table = resolve(table)
        self._root = posixpath.dirname(self._table) if root is None else resolve(root)
        self._columns = (image_column, mask_column, split_column)
        self._rows = table_rows(self._table, self._columns)

    @property
    def facts(self) -> Mapping[str, Any]:
        """See `LabelledImages`; predicted masks hold the values of the masks here."""
        known = {"mask_values": self._labels.levels, **self._framing.facts}
        return {**super().facts, **known}

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with any file or setting."""
        pairs = [pair for split in self._pairs.values() for pair in split]
        settings = (self._labels, self._mask_orientation, self._framing)
        return "pair-table-" + stamp_of_pairs(pairs, *settings)

    def split(self, name: str) -> PairedFiles | WindowedPairs:
        """Return "train", "validation" or "test"; a UserError says if it is empty."""
        check_split_name(name)
        pairs = self._pairs[name]
        if not pairs:
            remedy = f"raise its share (data.source.{name})"
            if self._columns[2] is not None:
                remedy = f"write it into the column {self._columns[2]!r} of some lines"
            raise no_samples(shown(self._table), name, len(self._rows), remedy)
        form = (self._framing, self.channels, self._mask_orientation)
        return split_of(PairedFiles(pairs, self._labels, *form), self._framing, name)

    @cached_property
    def _pairs(self) -> dict[str, list[Pair]]:
        """The pairs of each split."""
        pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
        undivided: list[Pair] = []
        seen: dict[str, int] = {}
        image_column, mask_column, split_column = self._columns
        for line, row in self._rows:
            image, mask = (path_in_table(self._root, row[c]) for c in (image_column, mask_column))
            pair = Pair(row[image_column], image, mask)
            if seen.setdefault(image, line) != line:
                first = seen[image]
                raise self._problem(line, f"{pair.name} is in line {first}, too; remove one")
            if split_column is None:
                undivided.append(pair)
            elif row[split_column] in SPLITS:
                pairs[row[split_column]].append(pair)
            else:
                found = f"the split is {row[split_column]!r}"
                raise self._problem(line, f"{found}; expected one of {', '.join(SPLITS)}")
        if split_column is None:
            return divided(undivided, lambda pair: pair.name, *self._shares, self._group)
        return pairs

    def _problem(self, line: int, text: str) -> UserError:
        return UserError(f"{shown(self._table)}, line {line}: {text}.")
