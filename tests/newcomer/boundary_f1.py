from typing import Dict, List, Optional

import numpy as np


def _edges(m: np.ndarray) -> np.ndarray:
    e = np.zeros(m.shape, dtype=bool)
    e[:, 1:] |= m[:, 1:] != m[:, :-1]
    e[1:, :] |= m[1:, :] != m[:-1, :]
    return e


class BoundaryF1:
    """F1 score of the boundary pixels"""

    def __init__(self, num_classes: int, names: Optional[List[str]] = None, tol: int = None):
        self.num_classes = num_classes
        self.names = names
        self.tp = 0
        self.fp = 0
        self.fn = 0
        self.history = []

    def update(self, fields, prediction):
        for t, p in zip(fields["mask"], prediction["mask"]):
            et, ep = _edges(t), _edges(p)
            self.tp += int((et & ep).sum())
            self.fp += int((~et & ep).sum())
            self.fn += int((et & ~ep).sum())
        self.history.append(self.tp)

    def results(self) -> Dict[str, float]:
        f1 = 2 * self.tp / max(2 * self.tp + self.fp + self.fn, 1)
        self.tp = f1
        return {"boundary_f1": f1}
