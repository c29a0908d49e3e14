"""Makes a folder in the layout of Oxford-IIIT Pet: blurred noise with discs in it."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_SIZE = (500, 375)  # width and height, the most common one
_PET, _BACKGROUND, _BORDER = 1, 2, 3


def main() -> None:
    """Write as many training images as the second word says into the folder that the first names.

    A tenth as many make the test list.
    """
    root, count = Path(sys.argv[1]), int(sys.argv[2])
    (root / "images").mkdir(parents=True)
    (root / "annotations" / "trimaps").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for file, number in (("trainval.txt", count), ("test.txt", max(count // 10, 1))):
        names = [f"{Path(file).stem}_{index}" for index in range(number)]
        for name in names:
            image, trimap = _sample(generator)
            image.save(root / "images" / f"{name}.jpg")
            trimap.save(root / "annotations" / "trimaps" / f"{name}.png")
        lines = "".join(f"{name} 1 1 1\n" for name in names)
        (root / "annotations" / file).write_text(lines, encoding="utf-8")


def _sample(generator: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    noise = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(_SIZE, Image.Resampling.BICUBIC)
    trimap = Image.new("L", _SIZE, _BACKGROUND)
    x, y = (int(generator.integers(side // 4, side // 2)) for side in _SIZE)
    ImageDraw.Draw(trimap).ellipse((x // 2, y // 2, x * 2, y * 2), _PET, _BORDER, width=5)
    return image, trimap


if __name__ == "__main__":
    main()
