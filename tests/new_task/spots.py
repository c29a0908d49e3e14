"""Grey images with a bright spot, whose place is to be found."""

import numpy as np
from dataloader.sample import SPLITS, Field

SIDE = 16


class Spots:
    """Every split has so many images."""

    def __init__(self, count: int = 64) -> None:
        self._count = count
        self.spec = {"picture": Field((SIDE, SIDE, 1)), "point": Field((2,), "float32")}
        self.facts = {"side": SIDE}

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the samples would."""
        return f"spots-{self._count}"

    def split(self, name: str) -> "SpotSplit":
        """Return one of the splits."""
        return SpotSplit(SPLITS.index(name), self._count)


class SpotSplit:
    """One split; its number makes its samples differ from those of the others."""

    def __init__(self, number: int, count: int) -> None:
        self._number, self._count = number, count

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """Return a short name for people."""
        return f"spot {index}"

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Draw an image; the point is (row, column), 0 to 1."""
        random = np.random.default_rng([self._number, index])
        picture = random.integers(0, 60, (SIDE, SIDE, 1), dtype=np.uint8)
        row, column = random.integers(2, SIDE - 2, 2)
        picture[row - 2 : row + 3, column - 2 : column + 3] += 180
        return {"picture": picture, "point": np.array([row, column], np.float32) / SIDE}
