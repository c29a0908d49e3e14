"""A model for which memory runs out, in the framework's words."""

import pytest

GREEDY = """
import torch
from torch import nn


class Greedy(nn.Conv2d):
    \"\"\"Asks for 400 TB where it sees more images at once than it can bear.\"\"\"

    def __init__(self, num_classes, most, most_judged=1000):
        super().__init__(3, num_classes, 1)
        self._most, self._most_judged = most, most_judged

    def forward(self, images):
        if len(images) > (self._most if self.training else self._most_judged):
            torch.empty(10**14)
        return super().forward(images)
"""


@pytest.fixture
def greedy_code() -> str:
    """A model for which memory runs out: Greedy(num_classes, most, most_judged)."""
    return GREEDY
