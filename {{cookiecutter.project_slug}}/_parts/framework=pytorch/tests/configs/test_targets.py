"""Targets of PyTorch's own: found and checked."""

import pytest

from configs.loading import load_config
from utils.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.schedule=torch.optim.lr_scheduler:OneCycleL"], "did you mean 'OneCycleLR'?"),
        (["train.optimizer=torch.optim:SGD", "train.optimizer.nesterow=true"], "'nesterov'?"),
        (["train.loss=torch.nn:CrossEntropyLoss", "train.loss.weigt=[1]"], "'weight'?"),
    ],
)
def test_misspelt_targets_and_arguments_are_refused(overrides: list[str], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(None, overrides)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.schedule={target: torch.optim.lr_scheduler:OneCycleLR, max_lr: 0.1}"],
        ["train.optimizer=torch.optim:RMSprop", "train.optimizer.momentum=0.9"],
        ["train.loss=torch.nn:CrossEntropyLoss", "train.loss.ignore_index=255"],
    ],
)
def test_right_ones_are_accepted(overrides: list[str]) -> None:
    load_config(None, overrides)
