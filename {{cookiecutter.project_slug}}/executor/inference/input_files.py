"""Finds the files to predict for."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dataloader.folders import files_in
from utils import storage
from utils.errors import UserError
from utils.logs import log


class InputFile(NamedTuple):
    """A file to predict for."""

    path: Path
    name: str
    """Without the ending; of a file in a folder that was given, with the folders in between."""


def input_files(
    inputs: Sequence[str], endings: Sequence[str], recursive: bool = False
) -> list[InputFile]:
    """Return the files that were given, and those of folders that have one of the endings.

    Hidden files never count; one line a folder says what else does not. `recursive` looks into the
    folders in a folder, too.

    Raises:
        UserError: If a file is missing, a folder has none that counts, or two have one name.
    """
    files: list[InputFile] = []
    for given in inputs:
        if os.path.isdir(given):
            files += _in_folder(given, endings, recursive)
        elif os.path.isfile(given):
            files.append(InputFile(Path(given), Path(given).stem))
        else:
            raise UserError(f"{storage.shown(given)}: there is no such file or folder.")
    names = Counter(file.name for file in files)
    if len(names) < len(files):
        name = names.most_common(1)[0][0]
        raise UserError(f"two files are called {name!r}; predict them one after the other.")
    return files


def refuse_inputs_as_output(inputs: Sequence[str], output: Path) -> None:
    """Raise a UserError if what is written would be read the next time."""
    for name in inputs:
        if Path(name).is_dir() and output.resolve() == Path(name).resolve():
            raise UserError(
                f"--output {storage.shown(str(output))} is a folder of inputs: the next prediction "
                "would take what this one writes for an image. Give another folder."
            )


def _in_folder(folder: str, endings: Sequence[str], recursive: bool) -> Iterator[InputFile]:
    used, said = files_in(folder, endings, recursive, "--recursive takes it")
    if not used:
        also = f"; not taken: {said}" if said else ""
        raise UserError(
            f"{storage.shown(folder)}: no file in this folder ends in {' '.join(endings)}{also}."
        )
    if said:
        log.warning("%s: not predicted: %s", storage.shown(folder), said)
    for name in used:
        yield InputFile(Path(folder, name), os.path.splitext(name)[0])
