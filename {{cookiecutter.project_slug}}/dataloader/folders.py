"""Which files of a folder count: one rule, wherever a folder is read."""

import os
from collections import Counter
from collections.abc import Sequence

from utils.storage import join, list_folder


def files_in(
    folder: str, endings: Sequence[str], recursive: bool, remedy: str
) -> tuple[list[str], str]:
    """Return the names of a folder's files that count, sorted, and what to say of the others.

    Files count by their ending, whatever its case; hidden ones never do, and are not spoken of.
    `recursive` looks into the folders in it, too; their names, with slashes, are then part of the
    files'. `remedy` says how to have folders read that are not. It is a UserError if a folder
    cannot be read.
    """
    used: list[str] = []
    unused: Counter[str] = Counter()
    left = [""]
    folders: list[str] = []
    while left:
        inner = left.pop()
        files, folders = list_folder(join(folder, inner) if inner else folder)
        folders = [inner + name + "/" for name in folders if not name.startswith(".")]
        left += folders if recursive else []
        for name in files:
            ending = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if ending in endings:
                used.append(inner + name)
            else:
                unused[ending or "nothing"] += 1
    said = [f"{count} ending in {ending}" for ending, count in sorted(unused.items())]
    if folders and not recursive:
        said.append(f"what is in {len(folders)} folders here ({remedy})")
    return sorted(used), ", ".join(said)
