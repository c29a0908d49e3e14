"""What processes have in common: files that the first one of a machine leaves for the others."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.loading import load_config
from dataloader.build import load_split, open_source
from executor.distributed import barriers
from executor.distributed.barriers import exit_barrier, first_rank_first
from executor.distributed.world import World
from utils.errors import FailedError, UserError


class Two(World):
    """One of two processes of a machine; the other one exists in its meetings only."""

    def __init__(self, rank: int, meet: Callable[[], None]) -> None:
        super().__init__("single", rank, 2, rank, 2)
        self._meet = meet

    def largest(self, *numbers: int) -> list[int]:
        self._meet()
        return list(numbers)


@pytest.mark.parametrize(("rank", "order"), [(0, ["make", "meet"]), (1, ["meet", "make"])])
def test_the_first_of_a_machine_goes_ahead(rank: int, order: list[str]) -> None:
    done: list[str] = []
    world = Two(rank, lambda: done.append("meet"))

    def made() -> str:
        done.append("make")
        return "made"

    assert first_rank_first(world, made) == "made"
    assert done == order


def test_all_meet_while_the_first_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barriers, "_POLL_SECONDS", 0.01)
    meetings: list[str] = []
    world = Two(0, partial(meetings.append, "met"))

    def made() -> int:
        while len(meetings) < 3:
            time.sleep(0.001)
        return 7

    assert first_rank_first(world, made) == 7
    assert len(meetings) >= 4


def test_one_process_meets_nobody() -> None:
    assert first_rank_first(World(), lambda: 3) == 3


def test_a_refusal_keeps_nobody_waiting() -> None:
    def refuse() -> Any:
        raise UserError("no such folder")

    for rank in range(2):
        meetings: list[str] = []
        world = Two(rank, partial(meetings.append, "met"))
        with pytest.raises(UserError, match="no such folder"):
            first_rank_first(world, refuse)
        assert meetings == ["met"]


def test_processes_of_a_machine_share_one_copy_on_disk(tmp_path: Path) -> None:
    words = ["data.source.train=16", f"data.cache_dir={tmp_path}", "data.source.image_size=[32,32]"]
    cfg = load_config(None, words)
    alone = load_split(cfg.data, open_source(cfg.data), "train").fields["image"]
    assert list(tmp_path.iterdir()) == []
    copies = [load_split(cfg.data, open_source(cfg.data), "train", processes=2) for _ in range(2)]
    assert len(list(tmp_path.iterdir())) == 1
    for copy in copies:
        np.testing.assert_array_equal(copy.fields["image"], alone)
    in_memory = load_config(None, [*words, "data.cache=memory"])
    load_split(in_memory.data, open_source(in_memory.data), "train", processes=2)
    assert len(list(tmp_path.iterdir())) == 1


def test_who_misses_another_the_second_time_may_leave() -> None:
    meetings: list[int] = []

    def meet() -> None:
        meetings.append(1)
        if len(meetings) == 2:
            raise FailedError("lost the others")

    exit_barrier(Two(0, meet))
    assert len(meetings) == 2


def test_who_misses_another_the_first_time_has_lost_it() -> None:
    def meet() -> None:
        raise FailedError("lost the others")

    with pytest.raises(FailedError, match="lost the others"):
        exit_barrier(Two(0, meet))
