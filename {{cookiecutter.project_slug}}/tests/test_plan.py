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
    assert groups(plan, Standing(), 9) == [(0, 12), (12, 16), (16, 20), (20, 32)]
    assert groups(plan, Standing(1, 4), 2) == [(4, 12), (12, 16), (16, 20), (20, 28), (28, 32)]
    assert groups(plan, Standing(7, 28), 1) == [(28, 32)]
    assert groups(plan, Standing(8, 32), 9) == []


@pytest.mark.parametrize(
    ("step", "position", "left_out", "expected"),
    [
        (0, 0, [8], [(0, 8), (12, 16), (16, 20), (20, 24), (24, 36)]),  # ends before, begins behind
        (0, 0, [0], [(4, 16), (16, 20), (20, 24), (24, 36)]),
        (0, 0, [4, 8], [(0, 4), (12, 20), (20, 24), (24, 28), (28, 40)]),  # one behind the other
        (3, 12, [12], [(16, 20), (20, 24), (24, 36)]),  # just ahead
        (3, 16, [12], [(16, 20), (20, 24), (24, 36)]),  # just passed
        (5, 20, [28, 0, 32], [(20, 28), (36, 40)]),  # in any order
        (5, 20, [32], [(20, 32)]),  # behind the end
    ],
)
def test_plan_ends_a_group_before_a_batch_that_is_left_out_and_begins_behind_it(
    step: int, position: int, left_out: list[int], expected: list[tuple[int, int]]
) -> None:
    cfg = load_config(None, ["train.epochs=3", "train.batch_size=4", "train.checkpoint_every=4"])
    standing = Standing(step=step, position=position, left_out=left_out)
    assert groups(Plan.of(cfg, 10), standing, 9) == expected


def groups(plan: Plan, standing: Standing, most: int) -> list[tuple[int, int]]:
    return [(group.start, group.stop) for group in plan.groups(standing, most)]


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
