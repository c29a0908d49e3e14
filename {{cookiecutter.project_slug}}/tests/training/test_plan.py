"""The plan of a run, and the best value and early stopping."""

import pytest

from configs.loading import load_config
from configs.schema import CFG
from executor.training.loop_state import LoopState
from executor.training.plan import Plan
from utils.errors import UserError


def test_plan_counts_epochs_in_samples() -> None:
    cfg = load_config(None, ["train.epochs=3", "train.batch_size=4", "run.log_every=5"])
    plan = plan_of(cfg, 10)
    assert plan.total_steps == 8  # 30 samples in batches of 4
    assert [step for step in range(1, 9) if plan.evaluates_at(step)] == [3, 5, 8]
    assert [step for step in range(1, 9) if plan.logs_at(step)] == [5, 8]
    assert plan.epoch(5) == 2.0
    assert plan_of(load_config(None, ["train.max_steps=2"]), 1000).total_steps == 2


def test_a_chunk_of_steps_ends_where_the_state_is_needed() -> None:
    cfg = load_config(None, ["train.epochs=3", "train.batch_size=4", "train.checkpoint_every=4"])
    plan = plan_of(cfg, 10)  # evaluates after steps 3, 5 and 8
    assert chunks(plan, LoopState(), 9) == [(0, 12), (12, 16), (16, 20), (20, 32)]
    assert chunks(plan, LoopState(1, 4), 2) == [(4, 12), (12, 16), (16, 20), (20, 28), (28, 32)]
    assert chunks(plan, LoopState(7, 28), 1) == [(28, 32)]
    assert chunks(plan, LoopState(8, 32), 9) == []


@pytest.mark.parametrize(
    ("step", "offset", "skipped", "expected"),
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
def test_a_chunk_ends_before_a_batch_that_is_skipped_and_the_next_begins_behind_it(
    step: int, offset: int, skipped: list[int], expected: list[tuple[int, int]]
) -> None:
    cfg = load_config(None, ["train.epochs=3", "train.batch_size=4", "train.checkpoint_every=4"])
    loop_state = LoopState(step=step, sample_offset=offset, skipped=skipped)
    assert chunks(plan_of(cfg, 10), loop_state, 9) == expected


def plan_of(cfg: CFG, samples: int) -> Plan:
    return Plan.of(cfg.train, cfg.run, samples)


def chunks(plan: Plan, loop_state: LoopState, most: int) -> list[tuple[int, int]]:
    return [(chunk.start, chunk.stop) for chunk in plan.chunks(loop_state, lambda: most)]


def test_early_stopping_and_the_best_value() -> None:
    words = ["train.monitor=quality", "train.monitor_mode=max"]
    words.append("train.early_stopping={patience: 2, min_delta: 0.1}")
    train = load_config(None, words).train
    loop_state = LoopState()
    for step, value in enumerate([float("nan"), 0.5, 0.55, 0.59], 1):
        loop_state.step = step
        assert not loop_state.stops_early(train)
        loop_state.record_evaluation({"quality": value}, train)
    assert (loop_state.best_value, loop_state.best_step) == (0.5, 2)
    assert loop_state.stops_early(train)
    with pytest.raises(UserError, match="quality"):
        loop_state.record_evaluation({"loss": 1.0}, train)
