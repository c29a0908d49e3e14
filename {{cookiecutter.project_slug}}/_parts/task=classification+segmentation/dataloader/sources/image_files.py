"""What sources of image files share: sizes, channels, class names, splits by name, fingerprints."""

import csv
import hashlib
import io
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from dataloader.folders import files_in
from utils.errors import UserError
from utils.logs import log
from utils.storage import is_remote, join, read_text, shown

One = TypeVar("One")


class ShownPath:
    """A path as `shown` gives it, worked out only for a message that is shown: it takes a while."""

    def __init__(self, path: str) -> None:
        """Keep the path."""
        self._path = path

    def __str__(self) -> str:
        """Return the path as messages show it."""
        return shown(self._path)


def checked_class_names(class_names: object, most: int) -> tuple[str, ...]:
    """Return class names as a tuple; a UserError refuses all but 1 to `most` different texts."""
    if isinstance(class_names, str) or not isinstance(class_names, list | tuple):
        raise UserError(f"class_names must be a list of names. Received: {class_names!r}")
    names = tuple(str(name) for name in class_names)
    if not 1 <= len(names) <= most or len(set(names)) < len(names):
        raise UserError(
            f"class_names must hold 1 to {most} different names. Received: {list(names)}"
        )
    return names


def checked_size(image_size: object) -> tuple[int, int]:
    """Return (height, width); one number is a square. A UserError refuses anything else."""
    sides: Sequence[object] = (
        image_size if isinstance(image_size, list | tuple) else (image_size, image_size)
    )
    if len(sides) == 2 and all(type(side) is int and side >= 1 for side in sides):
        return sides[0], sides[1]  # type: ignore[return-value]
    raise UserError(
        "image_size must be a number of pixels, or [height, width], each at least 1. "
        f"Received: {image_size!r}"
    )


def checked_channels(channels: int) -> int:
    """Return how many channels images have; a UserError refuses all but whole numbers from 1."""
    if type(channels) is not int or channels < 1:
        raise UserError(f"channels must be a whole number of at least 1. Received: {channels!r}")
    return channels


def checked_shares(validation: float, test: float) -> tuple[float, float]:
    """Return the shares of files to validate and to test on, if both leave some to train on."""
    if validation >= 0 and test >= 0 and validation + test < 1:
        return validation, test
    raise UserError(
        "validation and test must be shares of at least 0 that leave something to train on. "
        f"Received: validation: {validation}, test: {test}"
    )


def file_names(folder: str, endings: Sequence[str], recursive: bool = False) -> list[str]:
    """Return the names of a folder's files that count, sorted; one line says what does not.

    See `dataloader.folders.files_in`.
    """
    used, said = files_in(folder, endings, recursive, "recursive: true reads them")
    if said:
        log.warning("%s: not used: %s", shown(folder), said)
    return used


def divided(
    samples: Sequence[One],
    name_of: Callable[[One], str],
    validation: float,
    test: float,
    group: str | None = None,
) -> dict[str, list[One]]:
    """Divide samples over the splits: a sample's name alone decides, so it stays where it is.

    The shares are therefore approximate. The samples of a split are in the order of their names.
    `group` is a regular expression whose first parentheses find, in a name, what must be in one
    split, such as a patient; None: every sample for itself. It is a UserError if it finds nothing.
    """
    key = {name_of(sample): _group_of(name_of(sample), group) for sample in samples}
    ranked = sorted(set(key.values()), key=fraction_of)
    places = [fraction_of(one) for one in ranked]
    ends = [sum(place < end for place in places) for end in (test, test + validation)]
    # Of very few files none may fall into a split that is wanted; then the nearest ones do.
    ends[0] = max(ends[0], int(test > 0 and len(ranked) > 2))
    ends[0] = min(ends[0], max(len(ranked) - 1 - int(validation > 0), 0))
    ends[1] = max(ends[1], ends[0] + int(validation > 0 and len(ranked) > 1))
    ends = [min(end, len(ranked) - 1) for end in ends]
    parts: dict[str, list[One]] = {"train": [], "validation": [], "test": []}
    split_of = {one: "test" for one in ranked[: ends[0]]}
    split_of |= {one: "validation" for one in ranked[ends[0] : ends[1]]}
    for sample in sorted(samples, key=name_of):
        parts[split_of.get(key[name_of(sample)], "train")].append(sample)
    return parts


def _group_of(name: str, group: str | None) -> str:
    if group is None:
        return name
    found = re.search(group, name)
    if found is None:
        raise UserError(
            f"data.source.group={group!r} finds nothing in {name!r}. Its first parentheses must "
            "find, in every name, what belongs together."
        )
    return found[1] or ""


def checked_group(group: str | None) -> str | None:
    """Return a regular expression with parentheses, or None; a UserError refuses the rest."""
    try:
        fits = group is None or re.compile(group).groups >= 1
    except re.error as error:
        raise UserError(f"data.source.group={group!r} is no regular expression: {error}") from error
    if not fits:
        raise UserError(
            f"data.source.group={group!r} needs parentheses around what belongs together, for "
            "example ^(patient\\d+)"
        )
    return group


def no_samples(where: str, split: str, count: int, remedy: str) -> UserError:
    """Return what is said of a split without samples, of `count` in all."""
    if count == 1:
        remedy = "a single sample cannot be divided: add others, or give each split its own"
    return UserError(f"{where}: no images for the split {split!r}; {remedy}.")


def fraction_of(name: str) -> float:
    """Return a number in [0, 1) that depends on nothing but a name, for splits that last."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / (1 << 48)


def stamp_of_files(paths: Iterable[str], *settings: Any) -> str:
    """Return a text that changes when a file is replaced, comes or goes, or a setting differs.

    Local files count by size and time of change, others by what their storage says about them.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for path in paths:
        try:
            status = None if is_remote(path) else os.stat(path)
            stamp = f"{status.st_size}|{status.st_mtime_ns}" if status else _remote_stamp(path)
        except FileNotFoundError:  # whether a sample may lack a file is decided when it is read
            stamp = "missing"
        digest.update(f"{path}|{stamp}".encode())
    return digest.hexdigest()


def _remote_stamp(path: str) -> str:
    from fsspec.core import url_to_fs

    filesystem, inner = url_to_fs(path)
    info = filesystem.info(inner)
    kept = ("size", "ETag", "etag", "LastModified", "last_modified", "mtime", "created")
    return repr([(key, str(info[key])) for key in kept if key in info])


def table_rows(path: str, columns: Sequence[str | None]) -> list[tuple[int, dict[str, str]]]:
    """Return (line, values by column) of a CSV file that has all the columns that are not None.

    Fields are separated by commas or, if the first line says so, by semicolons or tabs. It is a
    UserError if a column or a value is missing.
    """
    text, name = read_text(path).removeprefix("\ufeff"), shown(path)
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restkey="")
    wanted = [column for column in columns if column is not None]
    missing = [column for column in wanted if column not in (reader.fieldnames or ())]
    if missing:
        found = ", ".join(reader.fieldnames or ()) or "nothing"
        raise UserError(
            f"{name}: there is no column {', '.join(missing)}. Found: {found}. Name the columns of "
            "your table in data.source: the settings that end in _column."
        )
    rows = []
    for row in reader:
        values = {column: (row[column] or "").strip() for column in wanted}
        empty = [column for column in wanted if not values[column]]
        if empty:
            raise UserError(
                f"{name}, line {reader.line_num}: nothing in the column {', '.join(empty)}. "
                "Fill it in, or remove the line."
            )
        rows.append((reader.line_num, values))
    if not rows:
        raise UserError(f"{name}: there are no images below the line of column names.")
    return rows


def path_in_table(root: str, name: str) -> str:
    """Return the path of a file that a table names, which begins in a folder if it is relative."""
    is_whole = is_remote(name) or posixpath.isabs(name)
    return name if is_whole else join(root, *name.replace("\\", "/").split("/"))
