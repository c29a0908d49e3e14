"""How the work is spread, from the configuration and what was launched."""

import re

import pytest

from configs.loading import load_config
from executor.strategy import choose_strategy
from utils.errors import UserError

KNOWN = ("single", "ddp", "fsdp")


def chosen(launched: int | None, *words: str, known: tuple[str, ...] = KNOWN) -> str:
    default = "ddp" if "ddp" in known else "single"
    return choose_strategy(load_config(None, words), launched, default, known)


@pytest.mark.parametrize(
    ("launched", "words", "strategy"),
    [
        (None, [], "single"),
        (None, ["executor.strategy=single"], "single"),
        (1, ["executor.strategy=single"], "single"),
        (1, [], "ddp"),
        (4, [], "ddp"),
        (4, ["executor.strategy=fsdp"], "fsdp"),
        (2, ["train.batch_size=12", "train.accumulate=3"], "ddp"),
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
        assert chosen(launched, *words) == "ddp"
        return
    with pytest.raises(UserError, match=re.escape(message)):
        chosen(launched, *words)


def test_a_framework_without_a_strategy_says_so() -> None:
    with pytest.raises(UserError, match=r"has no such strategy\. Expected: auto, single"):
        chosen(None, "executor.strategy=fsdp", known=("single",))
    with pytest.raises(UserError, match="each would train the whole"):
        chosen(2, known=("single",))
