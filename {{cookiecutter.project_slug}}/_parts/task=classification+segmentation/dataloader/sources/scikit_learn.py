"""The handwritten digits that come with scikit-learn: nothing is downloaded.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak,
UCI Machine Learning Repository, 1998). The files are read directly, because importing scikit-learn
takes a second.
"""

import gzip
import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from utils.errors import UserError

# The digits lie in the file writer by writer, about 130 each; a writer begins where the labels run
# 0 to 9 twice. These rows begin the 9th and the 12th writer, so that no writer is in two splits.
SPLIT_ROWS = {"train": (0, 1029), "validation": (1029, 1415), "test": (1415, 1797)}


@lru_cache(maxsize=1)
def handwritten_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,797 digits in the order of the file: ink, uint8 [N, 8, 8] of 0 to 240, and label."""
    table = gzip.decompress(data_file("data/digits.csv.gz"))
    numbers = np.array(table.replace(b"\n", b",").rstrip(b",").split(b","), dtype=np.float32)
    rows = numbers.reshape(-1, 65)
    return (rows[:, :64].reshape(-1, 8, 8) * 15).astype(np.uint8), rows[:, 64].astype(np.int32)


def data_file(name: str) -> bytes:
    """Return one of the files in scikit-learn's folder `datasets`; a UserError if it has none."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise UserError(
            "The sample needs the data files of scikit-learn, which is not installed. Run "
            "`pip install -r requirements.txt` or `pip install scikit-learn`, or set data.source "
            "to your own data (docs/data.md)."
        )
    path = Path(package.origin).parent / "datasets" / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: this data file of scikit-learn cannot be read ({error.strerror or error}). "
            "Reinstall it: pip install --force-reinstall scikit-learn"
        ) from error
