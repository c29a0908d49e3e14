"""Losses and schedules with a plain name refuse settings that they cannot have."""

from collections.abc import Callable
from typing import Any

import pytest

from ops import losses
from ops import lr_schedules as schedules


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (losses.cross_entropy, {"class_weights": [1.0, -1.0]}),
        (losses.cross_entropy, {"class_weights": [0.0, 0.0]}),
        (losses.cross_entropy, {"label_smoothing": 1.5}),
    ],
)
def test_impossible_losses_are_refused(loss: Callable[..., Any], settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Argument `{next(iter(settings))}` must"):
        loss(**settings)


def test_weights_are_counted_before_training_starts() -> None:
    with pytest.raises(ValueError, match="each of the 3 classes"):
        losses.cross_entropy(class_weights=[1.0, 2.0], num_classes=3)
    losses.cross_entropy(class_weights=[1.0, 2.0, 3.0], num_classes=3)


@pytest.mark.parametrize(
    ("schedule", "settings", "argument"),
    [
        (schedules.constant, {"warmup_steps": -1}, "warmup_steps"),
        (schedules.cosine, {"total_steps": 0}, "total_steps"),
        (schedules.cosine, {"total_steps": 5, "warmup_steps": -1}, "warmup_steps"),
        (schedules.linear, {"total_steps": 5, "floor": 2.0}, "floor"),
        (schedules.step, {"milestones": []}, "milestones"),
        (schedules.step, {"milestones": [3], "gamma": 0.0}, "gamma"),
    ],
)
def test_impossible_schedules_are_refused(
    schedule: Callable[..., Any], settings: dict[str, Any], argument: str
) -> None:
    no_optimizer = None  # settings are looked at first
    with pytest.raises(ValueError, match=f"Argument `{argument}` must"):
        schedule(no_optimizer, **settings)
