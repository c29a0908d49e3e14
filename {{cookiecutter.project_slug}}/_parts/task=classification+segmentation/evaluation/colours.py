"""The colours of classes, which colour-blind people can distinguish.

The palette is that of Okabe and Ito, "Color Universal Design" (2008).
"""

import colorsys
from collections.abc import Sequence

import numpy as np

ERROR = "#D55E00"  # of what is wrong; no class is like it
_CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442")
_BACKGROUND = "#DADDE1"  # a class of this name should not shout
_GOLDEN_RATIO = 0.618034  # spreads any number of hues evenly
_ERROR_HUES = (0.01, 0.14)  # 0 to 1: those around that of ERROR


def rgb(colour: str) -> tuple[int, int, int]:
    """Return the red, green and blue, 0 to 255, of a colour written as #RRGGBB."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def hexadecimal(colour: Sequence[int]) -> str:
    """Return a colour as #RRGGBB."""
    return "#" + bytes(int(part) for part in colour).hex().upper()


def class_colours(class_names: Sequence[str]) -> np.ndarray:
    """Return the colour of each class; one that is called "background" is light grey.

    Returns:
        uint8 [256 or more, 3]; black from row C on, for what is no class.
    """
    table = np.zeros((max(256, len(class_names)), 3), np.uint8)
    used = 0
    for index, name in enumerate(class_names):
        if name.lower() == "background":
            table[index] = rgb(_BACKGROUND)
            continue
        if used < len(_CLASSES):
            table[index] = rgb(_CLASSES[used])
        else:  # no two alike, though no longer easy for everybody
            lightness = (0.35, 0.55, 0.72)[used % 3]
            first, last = _ERROR_HUES
            hue = (last + (used * _GOLDEN_RATIO % 1.0) * (1 - last + first)) % 1.0
            colour = colorsys.hls_to_rgb(hue, lightness, 0.6)
            table[index] = [round(255 * part) for part in colour]
        used += 1
    return table
