"""Image files and their mask files as a split, for every source that is made of such pairs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from dataloader.sources.image_files import ShownPath, stamp_of_files
from dataloader.sources.label_map import LabelMap
from ops.images.bands import Bands
from ops.images.files import (
    Picture,
    head_size,
    is_turned,
    load_picture,
    open_picture,
    opened,
    pages,
    picture_to_array,
    seen_size,
)
from ops.images.framing import Framing
from ops.images.masks import turn_like
from utils.errors import UserError
from utils.logs import log
from utils.storage import exists, is_remote, read_bytes, shown


@dataclass(frozen=True)
class Pair:
    """One sample: a short name, and the path or URL of its image and of its mask."""

    name: str
    image: str
    mask: str
    """Where it is, or should be."""
    missing: str | None = None
    """What is said of a mask that is known not to be there."""


class PairedFiles:
    """A split of image and mask files; see `dataloader.sample.Split`.

    An image is used as people see it, its EXIF orientation applied. Its mask has the same size; a
    mask that is drawn for the image's stored pixels is turned with them.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        labels: LabelMap,
        framing: Framing,
        channels: int,
        mask_orientation: str = "auto",
    ) -> None:
        """Keep the list, which is in a lasting order; no file is opened yet.

        `framing` says at which size they are read, and `channels` how many images have.
        `mask_orientation` is that of `dataloader.sources.folder.Folder`.
        """
        self._orientation = mask_orientation
        self.pairs = tuple(pairs)
        self._labels = labels
        self._framing = framing
        self._channels = channels

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.pairs)

    @property
    def known_bad(self) -> list[int]:
        """The samples that are known to have no mask, or no image."""
        return [index for index, pair in enumerate(self.pairs) if _is_missing(pair)]

    def name(self, index: int) -> str:
        """Return the files' common name."""
        return self.pairs[index].name

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Decode and resize one pair, the mask by nearest neighbour; see `Split`."""
        return self.read_whole(index)[0]

    def size_of(self, index: int) -> tuple[int, int]:
        """Return height and width of an image, as people see it, from the head of its file.

        A tag that stands behind the pixels, as in PNG files, is not looked at.
        """
        path = self.pairs[index].image
        name = ShownPath(path)
        if is_remote(path):
            return head_size(open_picture(read_bytes(path), name))
        with opened(path, name) as picture:
            return head_size(picture)

    def read_whole(self, index: int) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
        """Return a pair at the size of the framing, and the height and width that it has itself."""
        pair = self.pairs[index]
        if pair.missing is not None:
            raise UserError(pair.missing)
        image_name, mask_name = ShownPath(pair.image), ShownPath(pair.mask)
        picture = open_picture(_content(pair.image, "mask", mask_name), image_name)
        mask = open_picture(_content(pair.mask, "image", image_name), mask_name)
        if isinstance(mask, Bands):
            raise UserError(f"{mask_name}: masks are image files, such as PNG.")
        load_picture(mask, mask_name)
        if pages(mask) > 1:
            raise UserError(
                f"{mask_name}: the mask has {pages(mask)} pages. Expected: one. Save the "
                "page that belongs to the image as a file of its own."
            )
        own_size = seen_size(picture, image_name)
        size = self._framing.scaled(own_size)
        fitted = _fitted(mask, picture, pair, self._orientation)
        classes = self._labels.read(fitted, mask_name, size)
        image = picture_to_array(picture, image_name, self._channels, size)
        return {"image": image, "mask": classes}, own_size


def _is_missing(pair: Pair) -> bool:
    files = (pair.image, pair.mask)
    return pair.missing is not None or not all(is_remote(f) or exists(f) for f in files)


def _content(path: str, kind: str, other: object) -> bytes:
    """Return one file of a pair; where it cannot be read, say what it belongs to."""
    try:
        return read_bytes(path)
    except UserError as error:
        raise UserError(
            f"{error} It belongs to the {kind} {other}: put it there, or remove both."
        ) from error


def checked_orientation(orientation: str) -> str:
    """Return what masks are drawn for; a UserError refuses all but the known words."""
    if orientation not in ("auto", "seen", "stored"):
        raise UserError(f"mask_orientation must be auto, seen or stored. Received: {orientation!r}")
    return orientation


def _fitted(mask: Image.Image, picture: Picture, pair: Pair, orientation: str) -> Image.Image:
    height, width = seen_size(picture, ShownPath(pair.image))
    fits_seen, fits_stored = mask.size == (width, height), mask.size == picture.size
    if fits_seen and fits_stored and orientation == "auto" and is_turned(picture):
        text = "%s: a tag turns or mirrors the image, and its mask fits both ways; it is taken as "
        text += "drawn for the image as people see it. Set mask_orientation: seen or stored"
        log.warning(text, shown(pair.image))
    if fits_stored and (orientation == "stored" or not fits_seen):
        return turn_like(mask, picture)
    if fits_seen and orientation != "stored":
        return mask
    raise UserError(
        f"{shown(pair.mask)}: the mask is {mask.width} x {mask.height} pixels, but its image "
        f"{shown(pair.image)} is {width} x {height} (width x height). Both must be the same: "
        "replace one of them."
    )


def stamp_of_pairs(pairs: Iterable[Pair], *settings: Any) -> str:
    """Return a text that changes with any file of some pairs, and with the settings."""
    return stamp_of_files((path for p in pairs for path in (p.image, p.mask)), *settings)
