"""Where the fields of a sample lie in a row of bytes, side by side."""

import math
from collections.abc import Mapping

import numpy as np

from dataloader.sample import Field

_ALIGNMENT = 64  # bytes; a field begins at a multiple, so that any type can be read in place


class Layout:
    """The places of all fields, so that samples are gathered as a whole: a batch is one copy."""

    def __init__(self, spec: Mapping[str, Field]) -> None:
        """Lay the fields one behind the other."""
        self.spec = dict(spec)
        self._places: dict[str, slice] = {}
        end = 0
        for name, field in self.spec.items():
            size = math.prod(field.shape) * np.dtype(field.dtype).itemsize
            self._places[name] = slice(end, end + size)
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        self.row_bytes = end

    def fields(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the fields of samples, uint8 [N, row_bytes], as views of it: [N, *shape]."""
        return {
            name: rows[:, place].view(self.spec[name].dtype).reshape(-1, *self.spec[name].shape)
            for name, place in self._places.items()
        }
