"""Mask files to class indices: grey levels, palette indices or colours, nothing guessed."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import compress
from typing import Any, TypeGuard

import numpy as np
from PIL import Image

from dataloader.sources.labelled_images import IGNORE_INDEX
from utils.errors import UserError, first_few
from utils.logs import log

Values = int | str | Sequence[int | str | Sequence[int]]
"""A grey level, or a colour as [r, g, b] or "#rrggbb"; or several of them."""
_SET_VALUES = (
    "Set mask_values to the value of each class, in the order of class_names, and ignore_value to "
    "that of pixels that do not count."
)


class LabelMap:
    """Which value in a mask file means which class."""

    def __init__(
        self,
        class_names: Sequence[str],
        mask_values: Sequence[Values] | None = None,
        ignore_value: Values | None = None,
        remedy: str = _SET_VALUES,
    ) -> None:
        """Check the values, which are those of `dataloader.sources.folder.Folder`.

        `remedy` is what to do about a mask with other values, for the message.

        Raises:
            UserError: If the values do not fit the classes or each other.
        """
        self.class_names = tuple(class_names)
        self._remedy = remedy
        values: list[object] = list(range(len(class_names)) if mask_values is None else mask_values)
        if len(values) != len(class_names):
            raise UserError(
                f"mask_values must hold one value for each of the {len(class_names)} classes "
                f"({', '.join(class_names)}). Received: {len(values)} values"
            )
        targets = [*range(len(values)), IGNORE_INDEX]
        self.in_colour = _are_colours(values)
        if ignore_value is not None:
            values.append(ignore_value)
        code_of = _colour_code if self.in_colour else _grey_level
        found = [
            (code_of(one), target)
            for value, target in zip(values, targets, strict=False)
            for one in _each(value, self.in_colour)
        ]
        self._codes = dict(found)
        levels = {code: target for code, target in self._codes.items() if code < 256}
        self._is_unknown = [level not in levels for level in range(256)]
        self._table = bytes(levels.get(level, 0) for level in range(256))
        self._first_palette: tuple[list[list[int]], object] | None = None
        self._palettes_differ = False
        if [] in values:
            raise UserError(f"Each of mask_values needs a value. Received: {values}")
        if len(self._codes) < len(found):
            raise UserError(f"Two labels share one value in mask_values and ignore_value: {values}")

    @property
    def levels(self) -> tuple[int, ...] | None:
        """The grey level of each class in a mask of 8 bits; None: colours, several, or deeper."""
        codes = [code for code, target in self._codes.items() if target != IGNORE_INDEX]
        has_one_each = len(codes) == len(self.class_names) and max(codes) < 256
        return tuple(codes) if has_one_each and not self.in_colour else None

    def __repr__(self) -> str:
        """Return a text that differs wherever masks would be read differently."""
        return f"LabelMap({'colour' if self.in_colour else 'grey'}, {self._codes})"

    def read(self, picture: Image.Image, name: object, size: tuple[int, int]) -> np.ndarray:
        """Turn a mask picture into uint8 [height, width] of class indices and IGNORE_INDEX.

        It is resized by nearest neighbour. Whatever the size, every pixel of the file is checked: a
        UserError says which labels are not in the map, or that this is no mask.
        """
        picture = picture.convert("RGB") if self.in_colour else self._single_band(picture, name)
        if picture.mode == "P":
            self._compare_palette(picture, name)
        has_bytes = picture.mode in ("L", "P")
        # Where pixels are bytes, Pillow counts them without the interpreter's lock.
        if not has_bytes or any(compress(picture.histogram(), self._is_unknown)):
            counts = _counted(picture)
            unknown = {code: count for code, count in counts.items() if code not in self._codes}
            if unknown:
                raise self._unknown_labels(unknown, name)
        if picture.size != size[::-1]:
            picture = picture.resize(size[::-1], Image.Resampling.NEAREST)
        if has_bytes:  # a third of the time that NumPy takes to look up each pixel
            return np.frombuffer(picture.tobytes().translate(self._table), np.uint8).reshape(size)
        codes = _coded(picture)
        classes = np.zeros(codes.shape, dtype=np.uint8)
        for code, target in self._codes.items():
            classes[codes == code] = target
        return classes

    def _single_band(self, picture: Image.Image, name: object) -> Image.Image:
        if picture.mode == "1":  # two levels: stored as 0 and 1, shown as 0 and 255
            as_stored = max(self._codes) <= 1
            return picture.convert("L").point([0] + [1 if as_stored else 255] * 255)
        bands = picture.getbands()
        if bands[0] in ("L", "P", "I"):
            return picture if len(bands) == 1 else picture.getchannel(0)
        if bands[0] == "F":
            raise UserError(f"{name}: masks must hold whole numbers. Received: mode F (fractions)")
        red, green, blue = picture.convert("RGB").split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            return red
        raise UserError(
            f"{name}: the mask is in colour (mode {picture.mode}), but its labels are set as grey "
            "levels. Give the colour of each class: mask_values: [[255, 0, 0], '#00ff00', ...]"
        )

    def _compare_palette(self, picture: Image.Image, name: object) -> None:
        """Say once where a palette gives other colours to the classes than the first one did."""
        palette = picture.getpalette() or []
        colours = [
            palette[3 * level : 3 * level + 3]
            for level, unknown in enumerate(self._is_unknown)
            if not unknown
        ]
        if self._first_palette is None:
            self._first_palette = (colours, name)
        elif colours != self._first_palette[0] and not self._palettes_differ:
            self._palettes_differ = True
            text = "%s: its palette gives other colours to the classes than that of %s; indices "
            text += "count. If the colours mean the classes, give these in mask_values"
            log.warning(text, name, self._first_palette[1])

    def _unknown_labels(self, counts: dict[int, int], name: object) -> UserError:
        common = sorted(counts, key=lambda value: -counts[value])
        shown = [f"{self._shown(code)} at {counts[code]} pixels" for code in common]
        names = {IGNORE_INDEX: "ignored", **dict(enumerate(self.class_names))}
        known = ", ".join(f"{self._shown(code)} = {names[t]}" for code, t in self._codes.items())
        what = "colours" if self.in_colour else "labels"
        return UserError(
            f"{name}: the mask holds unknown {what}: {first_few(shown)}. Known: {known}. "
            f"{self._remedy}"
        )

    def _shown(self, code: int) -> str:
        return f"#{code:06x}" if self.in_colour else str(code)


def _coded(picture: Image.Image) -> np.ndarray:
    """Return each pixel as one integer: its level, or 0xrrggbb; [height, width]."""
    pixels = np.asarray(picture)
    if picture.mode != "RGB":
        return pixels
    weights = np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    return np.asarray(pixels.astype(np.uint32) @ weights)


def _counted(picture: Image.Image) -> dict[int, int]:
    """Return how many pixels have each code that occurs; the usual cases without NumPy's sort."""
    if picture.mode in ("L", "P"):
        return {level: count for level, count in enumerate(picture.histogram()) if count}
    colours: Any = picture.getcolors(256) if picture.mode == "RGB" else None
    if colours is not None:
        return {int.from_bytes(bytes(colour), "big"): count for count, colour in colours}
    values, counts = np.unique(_coded(picture), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _are_colours(values: Sequence[object]) -> bool:
    """Return whether values are colours: texts, or lists of three numbers, and nothing else.

    A single number, or a list of more or fewer, can only be grey levels.
    """
    return not any(
        isinstance(value, int) or (_is_numbers(value) and len(value) != 3) for value in values
    )


def _each(value: Any, in_colour: bool) -> Sequence[object]:
    """Return the grey levels or colours that mean one class."""
    is_one = isinstance(value, int | str) or (in_colour and _is_numbers(value))
    return [value] if is_one or not isinstance(value, list | tuple) else value


def _is_numbers(value: Any) -> TypeGuard[Sequence[int]]:
    return isinstance(value, list | tuple) and all(isinstance(one, int) for one in value)


def _grey_level(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16:
        return value
    raise UserError(
        "mask_values and ignore_value must all be grey levels (0 to 65535) or all be colours. "
        f"Received: {value!r}"
    )


def _colour_code(value: object) -> int:
    if isinstance(value, str):
        digits = value.removeprefix("#")
        if len(digits) == 6 and all(c in "0123456789abcdefABCDEF" for c in digits):
            return int(digits, 16)
    elif isinstance(value, list | tuple) and len(value) == 3:
        with suppress(TypeError, ValueError):  # what is no whole number, or not 0 to 255
            return int.from_bytes(bytes(value), "big")
    raise UserError(
        "A colour in mask_values or ignore_value must be [red, green, blue], each 0 to 255, or "
        f"'#rrggbb' in quotes, and all must be colours. Received: {value!r}"
    )
