"""How the work is spread, from the configuration and what was launched."""

import re

import pytest

from configs.loading import load_config
from executor.distributed.strategy import choose_strategy
from utils.errors import UserError

KNOWN = ("single", "ddp", "fsdp")


WITH_MIRRORED = ("single", "mirrored", "multi_worker")


def chosen(
    launched: int | None, *words: str, known: tuple[str, ...] = KNOWN, devices: int = 1
) -> str:
    cfg = load_config(None, words)
    wanted = cfg.executor.strategy
    return choose_strategy(wanted, cfg.train, launched, known[-1], known, devices)


@pytest.mark.parametrize(
    ("launched", "words", "strategy"),
    [
        (None, [], "single"),
        (None, ["executor.strategy=single"], "single"),
        (1, ["executor.strategy=single"], "single"),
        (1, [], "fsdp"),
        (4, [], "fsdp"),
        (4, ["executor.strategy=ddp"], "ddp"),
        (2, ["train.batch_size=12", "train.accumulate=3"], "fsdp"),
    ],
)
def test_choice(launched: int | None, words: list[str], strategy: str) -> None:
    assert chosen(launched, *words) == strategy


@pytest.mark.parametrize(
    ("launched", "words", "message"),
    [
        (None, ["executor.strategy=ddp"], "needs several processes"),
        (2, ["executor.strategy=single"], "2 processes were launched"),
        (3, ["train.batch_size=32"], "multiple of 3, for example 33"),
        (2, ["train.batch_size=30", "train.accumulate=3"], None),
        (2, ["train.batch_size=32", "train.accumulate=8"], None),
        (4, ["train.batch_size=36", "train.accumulate=3"], None),
        (4, ["train.batch_size=30", "train.accumulate=3"], "multiple of 12, for example 36"),
    ],
)
def test_refusals(launched: int | None, words: list[str], message: str | None) -> None:
    if message is None:
        assert chosen(launched, *words) == "fsdp"
        return
    with pytest.raises(UserError, match=re.escape(message)):
        chosen(launched, *words)


@pytest.mark.parametrize(
    ("launched", "devices", "words", "strategy"),
    [
        (None, 1, [], "single"),
        (None, 4, [], "mirrored"),
        (None, 4, ["executor.strategy=single"], "single"),
        (None, 1, ["executor.strategy=mirrored"], "mirrored"),
        (1, 1, [], "multi_worker"),
        (1, 4, [], "mirrored"),
        (2, 4, [], "multi_worker"),
        (None, 3, ["train.batch_size=32", "executor.strategy=single"], "single"),
    ],
)
def test_one_process_uses_all_of_its_devices(
    launched: int | None, devices: int, words: list[str], strategy: str
) -> None:
    assert chosen(launched, *words, known=WITH_MIRRORED, devices=devices) == strategy


@pytest.mark.parametrize(
    ("launched", "devices", "words", "message"),
    [
        (None, 3, ["train.batch_size=32"], "over 3 devices with train.accumulate=1"),
        (None, 2, ["train.batch_size=4", "train.accumulate=4"], "multiple of 8"),
        (2, 2, ["executor.strategy=mirrored"], "Start one process, or take auto."),
        (None, 2, ["executor.strategy=multi_worker"], "needs several processes"),
    ],
)
def test_devices_that_do_not_fit_are_refused(
    launched: int | None, devices: int, words: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        chosen(launched, *words, known=WITH_MIRRORED, devices=devices)


def test_a_framework_without_a_strategy_says_so() -> None:
    with pytest.raises(UserError, match=r"has no such strategy\. Expected: auto, single"):
        chosen(None, "executor.strategy=fsdp", known=("single",))
