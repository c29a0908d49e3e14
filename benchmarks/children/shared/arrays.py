"""The samples of every loop: made up once, the same bytes whichever framework trains on them."""

import numpy as np
from dataloader.sources.labelled_images import LabelledImages

CLASSES = ("object", "background", "border")
MEAN, STD = 127.5, 63.75  # of the bytes: the defaults of `task.mean` and `task.std` times 255


class Arrays(LabelledImages):
    """Made-up samples as a data source of the project; every split is the same."""

    fingerprint = "arrays"

    def __init__(self, side: int, samples: int) -> None:
        super().__init__(CLASSES, side)
        generator = np.random.default_rng(0)
        self.images = generator.integers(0, 256, (samples, side, side, 3), dtype=np.uint8)
        self.masks = generator.integers(0, len(CLASSES), (samples, side, side), dtype=np.uint8)

    def split(self, name: str) -> "Arrays":
        """Return the samples."""
        return self

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the sample's number in words."""
        return f"sample {index}"

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Return one sample."""
        return {"image": self.images[index], "mask": self.masks[index]}
