"""A model for which memory runs out, in the framework's words."""

import pytest

GREEDY = """
import torch
from configs.loading import load_config
from utils.names import resolve


class Greedy(resolve(load_config().model.target)):
    \"\"\"Asks for 400 TB where it sees more images at once than it can bear.\"\"\"

    def __init__(self, num_classes, in_channels, most, most_judged=1000):
        super().__init__(num_classes, in_channels, widths=(4,))
        self._most, self._most_judged = most, most_judged

    def forward(self, images):
        if len(images) > (self._most if self.training else self._most_judged):
            torch.empty(10**14)
        return super().forward(images)
"""


@pytest.fixture
def greedy_code() -> str:
    """A model for which memory runs out: Greedy(num_classes, in_channels, most, most_judged)."""
    return GREEDY
