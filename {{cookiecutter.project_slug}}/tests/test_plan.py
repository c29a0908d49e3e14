"""The plan of a run, and how the best value and early stopping are judged."""

import pytest

from configs.loading import load_config
from executor.plan import Plan
from executor.standing import Standing
from utils.errors import UserError


def test_plan_counts_epochs_in_samples() -> None:
    cfg = load_config(None, ["train.epochs=3", "train.batch_size=4", "run.log_every=5"])
    plan = Plan.of(cfg, 10)
    assert plan.total_steps == 8  # 30 samples in batches of 4
    assert [step for step in range(1, 9) if plan.evaluates_at(step)] == [3, 5, 8]
    assert [step for step in range(1, 9) if plan.logs_at(step)] == [5, 8]
    assert plan.epoch(5) == 2.0
    assert Plan.of(load_config(None, ["train.max_steps=2"]), 1000).total_steps == 2


def test_plan_ends_a_group_of_steps_where_the_state_is_needed() -> None:
    cfg = load_config(None, ["train.epochs=3", "train.batch_size=4", "train.checkpoint_every=4"])
    plan = Plan.of(cfg, 10)  # evaluates after steps 3, 5 and 8
    assert list(plan.groups(0, 9)) == [range(3), range(3, 4), range(4, 5), range(5, 8)]
    assert list(plan.groups(1, 2)) == [
        range(1, 3),
        range(3, 4),
        range(4, 5),
        range(5, 7),
        range(7, 8),
    ]
    assert list(plan.groups(7, 1)) == [range(7, 8)]
    assert list(plan.groups(8, 9)) == []


def test_early_stopping_and_the_best_value() -> None:
    train = load_config(None, ["train.early_stopping={patience: 2, min_delta: 0.1}"]).train
    standing = Standing()
    for step, value in enumerate([float("nan"), 0.5, 0.55, 0.59], 1):
        standing.step = step
        assert not standing.gives_up(train)
        standing.judge({"mean_iou": value}, train)
    assert (standing.best_value, standing.best_step) == (0.5, 2)
    assert standing.gives_up(train)
    with pytest.raises(UserError, match="mean_iou"):
        standing.judge({"loss": 1.0}, train)
