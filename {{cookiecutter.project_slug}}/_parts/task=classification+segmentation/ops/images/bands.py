"""Images of any number of bands, in NumPy's files: Pillow knows one, three and four."""

import io

import numpy as np

from utils.errors import UserError

ENDING = ".npy"
_BEGINNING = b"\x93NUMPY"


class Bands:
    """An image, uint8 [h, w, bands], with what else is asked of Pillow's images."""

    format = "NPY"

    def __init__(self, file: str | io.BytesIO, name: object) -> None:
        """Read the content of a file, or by its path no more of it than is asked for.

        Raises:
            UserError: If it holds anything else; the message names the file.
        """
        try:
            if isinstance(file, str):
                self.pixels: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
            else:
                self.pixels = np.load(file, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise UserError(
                f"{name}: not a readable array ({error}). Expected: what numpy.save wrote. "
                "Replace or remove the file."
            ) from error
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or not self.pixels.size:
            raise UserError(
                f"{name}: received {self.pixels.dtype} {list(self.pixels.shape)}, expected uint8 "
                "[height, width, bands]. Scale other values to 0..255, with one scale for all "
                "images."
            )
        self.size = self.pixels.shape[1::-1]

    def getexif(self) -> dict[int, int]:
        """Return its tags: there are none, so none turns it."""
        return {}

    def load(self) -> None:
        """Do nothing: the pixels are there."""


def is_array(content: bytes) -> bool:
    """Return whether this is the content of a file that NumPy wrote."""
    return content.startswith(_BEGINNING)
