"""What known graphics cards compute at most, to say which part of that a training uses.

Dense products of matrices with sums in fp32, from the makers' data sheets, which often state twice
as much, for sparse matrices. fp32 is TF32 where convolutions use that by default: on NVIDIA's cards
that have it, not on AMD's.
"""

import re
from typing import NamedTuple


class _Card(NamedTuple):
    pattern: str  # found in the name that the framework reports; the first that is found counts
    fp32: float  # TFLOPS, as are the next two
    bf16: float | None  # None: the card does not compute in it
    fp16: float


_CARDS = (
    _Card(r"\bGH200\b", 494.7, 989.4, 989.4),
    _Card(r"\bH200 NVL\b", 417.7, 835.5, 835.5),
    _Card(r"\bH200\b", 494.7, 989.4, 989.4),
    _Card(r"\bH100 PCIe\b", 378.0, 756.0, 756.0),
    _Card(r"\bH100 NVL\b", 417.7, 835.5, 835.5),
    _Card(r"\bH100\b", 494.7, 989.4, 989.4),
    _Card(r"\bA100\b", 156.0, 312.0, 312.0),
    _Card(r"\bA30\b", 82.0, 165.0, 165.0),
    _Card(r"\bA40\b", 74.8, 149.7, 149.7),
    _Card(r"\bL40S\b", 183.0, 362.0, 362.0),
    _Card(r"\bL40\b", 90.5, 181.0, 181.0),
    _Card(r"\bL4\b", 60.0, 121.0, 121.0),
    _Card(r"\bRTX 4090\b(?! [DL])", 82.6, 165.2, 165.2),
    _Card(r"\bRTX 3090\b(?! Ti)", 35.6, 71.0, 71.0),
    _Card(r"\bV100S\b", 16.4, None, 130.0),
    _Card(r"\bV100-PCIE\b", 14.0, None, 112.0),
    _Card(r"\bV100\b", 15.7, None, 125.0),
    _Card(r"\bT4\b", 8.1, None, 65.0),
    _Card(r"\bMI300X\b", 163.4, 1307.4, 1307.4),
    # One card is two devices, and each has half.
    _Card(r"\bMI250X\b", 47.9, 191.5, 191.5),
    _Card(r"\bMI210\b", 45.3, 181.0, 181.0),
)


def peak_flops(name: str, precision: str) -> float | None:
    """Return the operations a second that a card reaches at most, or None if it is not known.

    The name is what the framework reports, for example "NVIDIA A100-SXM4-80GB".
    """
    for card in _CARDS:
        if re.search(card.pattern, name):
            tera: float | None = getattr(card, precision)
            return None if tera is None else 1e12 * tera
    return None
