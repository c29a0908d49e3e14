"""Makes a folder of JPEG images and PNG masks: pieces of photographs, turned and tinted."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

SIZE = (500, 375)  # width and height, the most common one of Oxford-IIIT Pet
CLASSES = ("object", "background", "border")
_QUALITY = 90  # as cameras and the common data sets have it


def main() -> None:
    """Write as many images as the second word says into the folder that the first names."""
    root, count = Path(sys.argv[1]), int(sys.argv[2])
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise SystemExit("scikit-learn, which brings two photographs, is not installed")
    photos = [
        Image.open(Path(package.origin).parent / "datasets" / "images" / name).convert("RGB")
        for name in ("china.jpg", "flower.jpg")
    ]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        image, mask = _sample(photos[number % len(photos)], generator)
        image.save(root / "images" / f"{number:05d}.jpg", quality=_QUALITY)
        mask.save(root / "masks" / f"{number:05d}.png")


def _sample(photo: Image.Image, generator: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    left = int(generator.integers(photo.width - SIZE[0] + 1))
    top = int(generator.integers(photo.height - SIZE[1] + 1))
    piece = photo.crop((left, top, left + SIZE[0], top + SIZE[1]))
    if generator.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Color(piece).enhance(float(generator.uniform(0.5, 1.5)))
    mask = Image.new("L", SIZE, CLASSES.index("background"))
    x, y = (int(generator.integers(side // 4, side // 2)) for side in SIZE)
    box = (x - x // 2, y - y // 2, x + x // 2, y + y // 2)
    ImageDraw.Draw(mask).ellipse(box, CLASSES.index("object"), CLASSES.index("border"), width=5)
    return image, mask


if __name__ == "__main__":
    main()
