"""Windows of pictures as a split: what does not fit into one is learned and judged in parts."""

import threading
from bisect import bisect_right
from itertools import accumulate

import numpy as np

from dataloader.sources.labelled_images import IGNORE_INDEX
from dataloader.sources.paired_files import PairedFiles
from ops.images.framing import Framing, Window
from utils.errors import UserError


class WindowedPairs:
    """A split of which each sample is a window of an image and its mask.

    In training, masks are whole; otherwise each pixel of an image counts in one window alone, the
    one in which it lies most central, so that metrics are those of whole images.
    """

    def __init__(self, pairs: PairedFiles, framing: Framing, is_training: bool) -> None:
        """Look at the head of each image file, which says how many windows it has."""
        self._pairs = pairs
        self._framing = framing
        self._is_training = is_training
        one_each = framing.fit == "pad"
        self._sizes = () if one_each else tuple(self._size_of(n) for n in range(len(pairs)))
        counts = (len(framing.windows(size)) for size in self._sizes)
        self._ends = list(range(1, len(pairs) + 1)) if one_each else list(accumulate(counts))
        self._last = threading.local()

    def __len__(self) -> int:
        """Return the number of windows."""
        return self._ends[-1]

    @property
    def known_bad(self) -> list[int]:
        """The windows of images that have no mask."""
        return [number for pair in self._pairs.known_bad for number in self._windows_of(pair)]

    def together(self, index: int) -> range:
        """Return the windows of the same image: they are cheap to read one after the other."""
        return self._windows_of(self._pair_of(index))

    def name(self, index: int) -> str:
        """Return the files' common name, and which of the windows it is, from 1."""
        pair = self._pair_of(index)
        windows = self._windows_of(pair)
        name = self._pairs.name(pair)
        return name if len(windows) == 1 else f"{name} #{index - windows.start + 1}"

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Decode an image and its mask, and return a window of both; see `Split`."""
        pair = self._pair_of(index)
        if getattr(self._last, "pair", None) != pair:
            self._last.fields, self._last.size = self._pairs.read_whole(pair)
            self._last.pair = pair
        fields, size = self._last.fields, self._last.size
        if self._sizes and size != self._sizes[pair]:
            raise UserError(
                f"{self._pairs.name(pair)}: a tag behind the pixels turns the image, which "
                "framing: windows and crop do not allow. Save it as it is seen."
            )
        window = self._framing.windows(size)[index - self._windows_of(pair).start]
        mask = self._framing.cut(fields["mask"], window, IGNORE_INDEX)
        if not self._is_training:
            mask = _core_of(mask, window)
        return {"image": self._framing.cut(fields["image"], window), "mask": mask}

    def _size_of(self, pair: int) -> tuple[int, int]:
        try:
            return self._pairs.size_of(pair)
        except UserError:  # which is told, or left out, when it is read
            return self._framing.size

    def _pair_of(self, index: int) -> int:
        return bisect_right(self._ends, index)

    def _windows_of(self, pair: int) -> range:
        return range(self._ends[pair - 1] if pair else 0, self._ends[pair])


def split_of(pairs: PairedFiles, framing: Framing, name: str) -> PairedFiles | WindowedPairs:
    """Return pairs as a split of this name: whole if they are stretched, otherwise in windows."""
    if framing.fit == "stretch":
        return pairs
    return WindowedPairs(pairs, framing, is_training=name == "train")


def _core_of(mask: np.ndarray, window: Window) -> np.ndarray:
    first, start, last, end = window.core
    inner = (
        slice(first - window.top, last - window.top),
        slice(start - window.left, end - window.left),
    )
    core = np.full_like(mask, IGNORE_INDEX)
    core[inner] = mask[inner]
    return core
