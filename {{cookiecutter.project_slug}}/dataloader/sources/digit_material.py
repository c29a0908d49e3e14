"""The digits and photographs of the sample, from the data files that come with scikit-learn.

The files are read directly, because importing scikit-learn takes a second.
"""

import gzip
import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from utils.errors import UserError

_PHOTOS = ("china.jpg", "flower.jpg")


@lru_cache(maxsize=1)
def digits_and_photographs() -> tuple[list[Image.Image], list[Image.Image]]:
    """Read scikit-learn's files.

    Returns:
        1,797 digits, each 8x8 amid a 12x12 grey picture, ink 0 to 240, in the order of the file;
        and two RGB photographs.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise UserError(
            "The digit scenes need the data files of scikit-learn, which is not installed. Run "
            "`pip install -r requirements.txt` or `pip install scikit-learn`, or set data.source "
            "to your own data (dataloader.sources.folder:Folder)."
        )
    folder = Path(package.origin).parent / "datasets"
    try:
        table = gzip.decompress((folder / "data" / "digits.csv.gz").read_bytes())
        photos = [Image.open(folder / "images" / name).convert("RGB") for name in _PHOTOS]
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: this data file of scikit-learn cannot be read "
            f"({error.strerror or error}). Reinstall it: pip install --force-reinstall scikit-learn"
        ) from error
    numbers = np.array(table.replace(b"\n", b",").rstrip(b",").split(b","), dtype=np.float32)
    ink = (numbers.reshape(-1, 65)[:, :64].reshape(-1, 8, 8) * 15).astype(np.uint8)
    padded = np.pad(ink, ((0, 0), (2, 2), (2, 2)))
    return [Image.fromarray(digit) for digit in padded], photos
