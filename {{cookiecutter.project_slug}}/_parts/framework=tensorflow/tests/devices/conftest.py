"""A model for which memory runs out, in the framework's words."""

import pytest

GREEDY = """
import keras
import tensorflow as tf
from configs.loading import load_config
from utils.names import resolve


class Greedy(resolve(load_config().model.target)):
    \"\"\"Asks for 400 TB where it sees more images at once than it can bear.\"\"\"

    def __init__(self, num_classes, in_channels, most, most_judged=1000):
        super().__init__(num_classes, in_channels, widths=(4,))
        self._most, self._most_judged = most, most_judged

    def call(self, images, training=False):
        most = self._most if training else self._most_judged
        logits = super().call(images, training)
        if isinstance(images, keras.KerasTensor):
            return logits
        much = tf.cond(
            tf.shape(images)[0] > most,
            lambda: tf.reduce_sum(tf.broadcast_to(tf.reduce_mean(images), [10**7, 10**7])),
            lambda: 0.0,
        )
        return logits + tf.cast(much, logits.dtype)
"""


@pytest.fixture
def greedy_code() -> str:
    """A model for which memory runs out: Greedy(num_classes, in_channels, most, most_judged)."""
    return GREEDY
