"""The sample data: handwritten digits over photographs, made on the spot and never downloaded.

Digits and photographs, two of its sample images, come with scikit-learn (see
`dataloader.sources.scikit_learn`).
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from dataloader.sample import SPLITS, check_split_name
from dataloader.sources.labelled_images import LabelledImages
from dataloader.sources.scikit_learn import SPLIT_ROWS, data_file, handwritten_digits
from ops.images.arrays import resize
from utils.errors import UserError
from utils.seeding import SAMPLE_DATA, uniform_draws

OBJECT, BACKGROUND, BORDER = 0, 1, 2
_CLASS_NAMES = ("object", "background", "border")
VERSION = 1  # raise it whenever a scene would look different: it is part of the fingerprint

_PHOTOS = ("images/china.jpg", "images/flower.jpg")
# The part of each photograph's width, in fifths, that a split's backgrounds are cut from.
_PHOTO_FIFTHS = {"train": (0, 3), "validation": (3, 4), "test": (4, 5)}

_DRAWS_PER_SCENE = 8
_DRAWS_PER_DIGIT = 16
_MOST_DIGITS = 4  # one for each quarter of the scene
_SCENES_PER_SPLIT = 1 << 32  # apart enough for the splits never to share draws
_DIGIT_SHARE = (0.25, 0.58)  # a digit's height over the scene's
_CROP = (67, 125)  # pixels of the photograph along a background's side
_EDGE = (64, 152)  # ink (0 to 240) where a stroke begins to show and where it covers
_INSIDE = 108  # ink from which a pixel belongs to the digit: the middle of the edge
_RING = 1 / 96  # width of the border inside of the outline, and outside, over the scene's side
_CANVAS = (32, 1024)  # least and greatest side in pixels that a scene is drawn at
_CONTRAST = (45, 120)  # difference in brightness between a digit and what it lies on
_TINT = 60  # how far each channel of the colour may differ from its brightness
_OPACITY = (0.7, 1.0)


class DigitScenes(LabelledImages):
    """Scenes of one to four handwritten digits whose mask has the border apart (a trimap).

    Each scene is a function of the seed, the split and its number. Training, validation and test
    use digits of different writers and different parts of the photographs.
    """

    def __init__(
        self,
        image_size: int | Sequence[int] = 64,
        train: int = 1024,
        validation: int = 256,
        test: int = 256,
        canvas: int | None = None,
        digits: Sequence[int] = (1, 4),
        seed: int = 0,
    ) -> None:
        """Check the settings; scenes are made when they are read.

        Args:
            image_size: Height and width in pixels of the scenes; one number for a square.
            train: The number of scenes to train on.
            validation: The number of scenes to validate on.
            test: The number of scenes to test on.
            canvas: The side in pixels that scenes are drawn at before they are resized to
                `image_size`, 32 to 1024; None draws them at that size, which is sharpest.
            digits: The least and the most digits in a scene, 1 to 4.
            seed: 0 or greater; another seed makes other scenes.

        Raises:
            UserError: If a setting is impossible.
        """
        super().__init__(_CLASS_NAMES, image_size)
        self._counts = {"train": train, "validation": validation, "test": test}
        for name, count in self._counts.items():
            if not 0 <= count < _SCENES_PER_SPLIT:
                raise UserError(f"{name} must be a number of scenes, 0 or more. Received: {count}")
        if canvas is not None and not _CANVAS[0] <= canvas <= _CANVAS[1]:
            raise UserError(f"canvas must be 32 to 1024 pixels, or null. Received: {canvas}")
        if len(digits) != 2 or not 1 <= digits[0] <= digits[1] <= _MOST_DIGITS:
            raise UserError(
                "digits must be the least and the most in a scene, 1 to 4, for example [1, 4]. "
                f"Received: {list(digits)}"
            )
        if seed < 0:
            raise UserError(f"seed must be 0 or greater. Received: {seed}")
        self._canvas, self._digits, self._seed = canvas, (digits[0], digits[1]), seed

    @property
    def fingerprint(self) -> str:
        """A text that changes with the scenes."""
        settings = (self._counts, self._canvas, self._digits, self._seed)
        return f"digit-scenes-{VERSION}-{settings}"

    def split(self, name: str) -> "SceneSplit":
        """Return "train", "validation" or "test"; a UserError if it has no scenes."""
        check_split_name(name)
        if not self._counts[name]:
            raise UserError(f"The split {name!r} has no scenes. Set data.source.{name} above 0.")
        count, settings = self._counts[name], (self._canvas, self._digits, self._seed)
        return SceneSplit(name, count, self.image_size, *settings)


class SceneSplit:
    """The scenes of one split; see `dataloader.sample.Split`."""

    def __init__(
        self,
        split: str,
        count: int,
        size: tuple[int, int],
        canvas: int | None,
        digits: tuple[int, int],
        seed: int,
    ) -> None:
        """Load the digits and photographs of a split; see `DigitScenes` for the arguments."""
        self._count, self._size, self._canvas = count, size, canvas
        self._digits_range, self._seed = digits, seed
        self._first_position = SPLITS.index(split) * _SCENES_PER_SPLIT
        ink, _ = handwritten_digits()
        padded = np.pad(ink[slice(*SPLIT_ROWS[split])], ((0, 0), (2, 2), (2, 2)))
        self._glyphs = [Image.fromarray(glyph) for glyph in padded]
        photos = [Image.open(BytesIO(data_file(name))).convert("RGB") for name in _PHOTOS]
        start, end = _PHOTO_FIFTHS[split]
        self._backgrounds = [
            p.crop((p.width * start // 5, 0, p.width * end // 5, p.height)) for p in photos
        ]

    def __len__(self) -> int:
        """Return the number of scenes."""
        return self._count

    def name(self, index: int) -> str:
        """Return the scene's number in words."""
        return f"scene {index}"

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Draw one scene; see `dataloader.sample.Split`."""
        width = _DRAWS_PER_SCENE + _MOST_DIGITS * _DRAWS_PER_DIGIT
        position = self._first_position + index
        draws = uniform_draws(self._seed, SAMPLE_DATA, position, count=1, width=width)[0]
        own, for_digits = draws[:_DRAWS_PER_SCENE], draws[_DRAWS_PER_SCENE:]
        side = self._canvas or min(max(*self._size, _CANVAS[0]), _CANVAS[1])
        image = self._background(own, side)
        mask = np.full(image.shape[:2], BACKGROUND, dtype=np.uint8)
        least, most = self._digits_range
        count = least + int(own[0] * (most - least + 1))
        quarters = np.argsort(own[4:8])[:count]
        for quarter, values in zip(quarters, for_digits.reshape(_MOST_DIGITS, -1), strict=False):
            self._draw_digit(image, mask, int(quarter), values.tolist())
        return {"image": resize(image, self._size), "mask": resize(mask, self._size)}

    def _background(self, draws: np.ndarray, canvas: int) -> np.ndarray:
        """Cut a square from a photograph and scale it: uint8 [canvas, canvas, 3]."""
        photo = self._backgrounds[int(draws[0] * 4096) % len(self._backgrounds)]
        side = int(_between(_CROP, draws[1]))
        left = int(draws[2] * (photo.width - side + 1))
        top = int(draws[3] * (photo.height - side + 1))
        box = (left, top, left + side, top + side)
        return np.array(photo.resize((canvas, canvas), Image.Resampling.BILINEAR, box))

    def _draw_digit(
        self, image: np.ndarray, mask: np.ndarray, quarter: int, draws: list[float]
    ) -> None:
        """Draw one digit over the scene and its trimap over the mask, both in place."""
        canvas = len(image)
        ink, top, left = self._placed_ink(quarter, draws, canvas)
        ring = max(1, round(_RING * canvas))
        # The window is cut at the scene's edge, as an object in a photograph is.
        rows = slice(max(top, 0), min(top + ink.shape[0], canvas))
        columns = slice(max(left, 0), min(left + ink.shape[1], canvas))
        ink = ink[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        picture, trimap = image[rows, columns], mask[rows, columns]
        body = ink >= _INSIDE
        if not body.any():
            return
        _paint(picture, ink, body, draws[8:])
        trimap[_grown(body, ring)] = BORDER
        trimap[~_grown(~body, ring)] = OBJECT

    def _placed_ink(
        self, quarter: int, draws: list[float], canvas: int
    ) -> tuple[np.ndarray, int, int]:
        """Scale, stretch and slant a digit: its ink, uint8 [h, w], and its top and left."""
        glyph = self._glyphs[int(draws[0] * len(self._glyphs))]
        height = canvas * _between(_DIGIT_SHARE, draws[1])
        width = height * _between((0.75, 1.15), draws[2])
        slant = _between((-0.35, 0.35), draws[3])
        box_height = int(height * 1.3)
        box_width = int(width * 1.3 + abs(slant) * height)
        # From a pixel of the box to one of the 8x8 digit, which lies amid 12x12.
        x_scale, y_scale = 8 / width, 8 / height
        shear = slant * x_scale
        x_start = 6 - x_scale * box_width / 2 - shear * box_height / 2
        y_start = 6 - y_scale * box_height / 2
        matrix = (x_scale, shear, x_start, 0.0, y_scale, y_start)
        box = (box_width, box_height)
        ink = glyph.transform(box, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
        # The middle of a digit lies in the middle half of its quarter.
        row, column = divmod(quarter, 2)
        middle_y = canvas * (row * 0.5 + _between((0.12, 0.38), draws[4]))
        middle_x = canvas * (column * 0.5 + _between((0.12, 0.38), draws[5]))
        return np.asarray(ink), int(middle_y - box_height / 2), int(middle_x - box_width / 2)


def _paint(picture: np.ndarray, ink: np.ndarray, body: np.ndarray, draws: list[float]) -> None:
    """Blend a colour that differs from what lies below into uint8 [h, w, 3], in place."""
    below = int(picture[body].mean())
    contrast = int(_between(_CONTRAST, draws[0]))
    darker, lighter = below - contrast, below + contrast
    brightness = darker if (draws[1] < 0.5 and darker >= 0) or lighter > 255 else lighter
    tint = [int(_between((-_TINT, _TINT), draw)) for draw in draws[2:5]]
    colour = np.array([brightness + part - sum(tint) // 3 for part in tint]).clip(0, 255)
    start, end = _EDGE
    opacity = int(256 * _between(_OPACITY, draws[5]))
    alpha = (ink.astype(np.int32).clip(start, end) - start) * opacity // (end - start)
    difference = colour - picture.astype(np.int32)
    picture += (difference * alpha[..., None] // 256).astype(np.uint8)  # exact modulo 256


def _grown(area: np.ndarray, steps: int) -> np.ndarray:
    """Grow a bool [h, w] area by some pixels to all eight sides."""
    for _ in range(steps):
        rows = area.copy()
        rows[1:] |= area[:-1]
        rows[:-1] |= area[1:]
        area = rows.copy()
        area[:, 1:] |= rows[:, :-1]
        area[:, :-1] |= rows[:, 1:]
    return area


def _between(limits: tuple[float, float], draw: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * draw
