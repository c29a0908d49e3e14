"""Targets of Keras's own: found and checked."""

import pytest

from configs.loading import load_config
from utils.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.schedule=keras.optimizers.schedules:CosineDeca"], "did you mean 'CosineDecay'?"),
        (["train.schedule=keras.optimizers.schedules:CosineDecay"], "needs the argument"),
        (["train.optimizer=keras.optimizers:Lyon"], "did you mean 'Lion'?"),
        (["train.loss=keras.losses:CategoricalCrossentropy", "train.loss.axes=[1]"], "'axis'?"),
    ],
)
def test_misspelt_targets_and_arguments_are_refused(overrides: list[str], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(None, overrides)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [
            "train.schedule={target: keras.optimizers.schedules:CosineDecay, "
            "initial_learning_rate: 0.1, decay_steps: 100}"
        ],
        ["train.optimizer=keras.optimizers:Lion", "train.optimizer.beta_1=0.8"],
        ["train.loss=keras.losses:SparseCategoricalCrossentropy", "train.loss.ignore_class=255"],
    ],
)
def test_right_ones_are_accepted(overrides: list[str]) -> None:
    load_config(None, overrides)
