"""Losses of masks refuse settings that they cannot have."""

from collections.abc import Callable
from typing import Any

import pytest

from ops import losses


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (losses.dice, {"smooth": 0.0}),
        (losses.cross_entropy_dice, {"dice_weight": -1.0}),
    ],
)
def test_impossible_losses_are_refused(loss: Callable[..., Any], settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Argument `{next(iter(settings))}` must"):
        loss(**settings)


def test_weights_are_counted_before_training_starts() -> None:
    with pytest.raises(ValueError, match="each of the 3 classes"):
        losses.cross_entropy_dice(class_weights=[1.0, 2.0], num_classes=3)
