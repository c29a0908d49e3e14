"""Which way a model runs in training: as it is, compiled, or as CUDA graphs."""

import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from configs.loading import load_config
from configs.schema import CFG
from executor.devices.compile import Timing, choose_way, may_pay, quickest, settled_way, timed
from executor.devices.select import Way
from executor.training.loop_state import LoopState
from utils.errors import UserError

ALL: tuple[Way, ...] = ("plain", "compiled", "graphs")
TIMINGS: dict[Way, Timing] = {
    "plain": Timing(0.5, 0.010),
    "compiled": Timing(40.0, 0.006),
    "graphs": Timing(45.0, 0.004),
}


class Alone:
    """A process that trains alone, and notes what it was asked."""

    def largest(self, *numbers: int) -> list[int]:
        return [int(number) for number in numbers]


class With(Alone):
    """Beside another process, which takes so many microseconds to start and for a pass."""

    def __init__(self, start: int = 0, one: int = 0, fails: bool = False) -> None:
        self.other = (start, one, fails)

    def largest(self, *numbers: int) -> list[int]:
        return [int(max(pair)) for pair in zip(numbers, self.other, strict=True)]


class Bench:
    """A device, and how long passes take on it."""

    def __init__(
        self,
        timings: Mapping[Way, Timing | Exception] = TIMINGS,
        kind: str = "cuda",
        ways: tuple[Way, ...] = ALL,
        world: Alone | None = None,
    ) -> None:
        self.device: Any = SimpleNamespace(
            kind=kind, ways=ways, way="plain", world=world or Alone()
        )
        self.timings = timings
        self.measured: list[Way] = []

    def measure(self) -> Timing:
        self.measured.append(self.device.way)
        found = self.timings[self.device.way]
        if isinstance(found, Exception):
            raise found
        return found

    def choose(self, passes: int, *words: str, kept: str | None = None) -> tuple[Way, str | None]:
        loop_state = LoopState(way=kept)
        choose_way(config(*words), loop_state, passes, self.device, self.measure)
        return self.device.way, loop_state.way


def config(*words: str) -> CFG:
    return load_config(None, [*words])


def test_a_long_run_takes_the_quickest_way_and_keeps_it() -> None:
    bench = Bench()
    assert bench.choose(100_000) == ("graphs", "graphs")
    assert bench.measured == list(ALL)


def test_what_is_kept_is_not_measured_again() -> None:
    bench = Bench()
    assert bench.choose(100_000, kept="compiled") == ("compiled", "compiled")
    assert bench.measured == []


def test_what_is_kept_and_not_possible_any_more_is_measured_again() -> None:
    bench = Bench(ways=("plain", "compiled"))
    assert bench.choose(100_000, kept="graphs") == ("compiled", "compiled")


def test_a_short_run_does_not_try_to_compile() -> None:
    bench = Bench()
    assert bench.choose(1_000) == ("plain", "plain")
    assert bench.measured == ["plain"]


@pytest.mark.parametrize(("passes", "way"), [(9_000, "plain"), (11_000, "compiled")])
def test_compiling_must_save_what_it_costs(passes: int, way: Way) -> None:
    timings: dict[Way, Timing] = {**TIMINGS}
    del timings["graphs"]
    assert quickest(timings, passes)[0] == way


def test_a_gain_within_the_noise_is_none() -> None:
    timings: dict[Way, Timing] = {
        "plain": Timing(0.0, 0.010),
        "compiled": Timing(1.0, 0.0099),
    }
    assert quickest(timings, 10**9)[0] == "plain"
    assert quickest({**timings, "graphs": Timing(1.0, 0.0095)}, 10**9)[0] == "graphs"
    assert quickest({**timings, "graphs": Timing(1.0, 0.0099)}, 10**9)[0] == "plain"


def test_graphs_must_be_better_than_compiled() -> None:
    timings: dict[Way, Timing] = {**TIMINGS, "graphs": Timing(40.0, 0.0059)}
    assert quickest(timings, 100_000)[0] == "compiled"


@pytest.mark.parametrize(("passes", "pays"), [(3_999, False), (4_100, True)])
def test_compiling_can_save_half_at_best(passes: int, pays: bool) -> None:
    assert may_pay(0.010, passes) is pays


@pytest.mark.parametrize(
    ("words", "kind", "ways", "expected"),
    [
        (("executor.compile=true",), "cpu", ALL, "compiled"),
        (("executor.compile=false",), "cuda", ALL, "plain"),
        ((), "cpu", ALL, "plain"),
        ((), "mps", ALL, "plain"),
        (("run.deterministic=true",), "cuda", ALL, "plain"),
        ((), "cuda", ("plain",), "plain"),
        ((), "cuda", ALL, None),
    ],
    ids=["true", "false", "cpu", "mps", "deterministic", "fsdp", "measured"],
)
def test_what_needs_no_measurement(
    words: tuple[str, ...], kind: str, ways: tuple[Way, ...], expected: Way | None
) -> None:
    settled = settled_way(config(*words), kind, ways, None)
    assert (settled and settled[0]) == expected


def test_deterministic_runs_never_depend_on_time() -> None:
    bench = Bench()
    words = ("run.deterministic=true",)
    assert bench.choose(100_000, *words, kept="compiled") == ("plain", "compiled")
    assert bench.measured == []


def test_what_was_not_measured_is_not_kept() -> None:
    assert Bench(kind="cpu").choose(100_000) == ("plain", None)
    assert Bench().choose(100_000, "executor.compile=true") == ("compiled", None)


def test_the_slowest_process_decides() -> None:
    timings: dict[Way, Timing | Exception] = {**TIMINGS, "graphs": RuntimeError("no")}
    assert Bench(timings).choose(11_000)[0] == "compiled"
    assert Bench(timings, world=With(start=50_000_000)).choose(11_000)[0] == "plain"
    assert Bench(timings, world=With(one=10_000)).choose(11_000)[0] == "plain"


def test_a_model_that_cannot_be_compiled_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench({**TIMINGS, "compiled": RuntimeError("no such kernel\nmore")})
    with caplog.at_level(logging.WARNING):
        assert bench.choose(100_000) == ("plain", "plain")
    [record] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "RuntimeError: no such kernel" in record.getMessage()
    assert "more" not in record.getMessage()


def test_graphs_that_fail_leave_what_was_measured_before() -> None:
    bench = Bench({**TIMINGS, "graphs": RuntimeError("no")})
    assert bench.choose(100_000) == ("compiled", "compiled")


def test_a_plain_model_that_fails_is_no_matter_of_compiling() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        Bench({**TIMINGS, "plain": RuntimeError("broken")}).choose(100_000)


@pytest.mark.parametrize("world", [Alone(), With(fails=True)], ids=["here", "elsewhere"])
def test_a_model_that_shall_be_compiled_and_cannot_is_an_error(world: Alone) -> None:
    here: Timing | Exception = RuntimeError("no such kernel")
    if isinstance(world, With):
        here = TIMINGS["compiled"]
    bench = Bench({**TIMINGS, "compiled": here}, world=world)
    with pytest.raises(UserError, match=r"executor\.compile=true"):
        bench.choose(100_000, "executor.compile=true")


def test_a_full_memory_is_no_matter_of_compiling() -> None:
    bench = Bench({**TIMINGS, "compiled": RuntimeError("CUDA out of memory.")})
    with pytest.raises(RuntimeError, match="out of memory"):
        bench.choose(100_000, "executor.compile=true")


def test_nothing_is_tried_where_nothing_is_left() -> None:
    bench = Bench()
    bench.choose(0, "executor.compile=true")
    bench.choose(0)
    assert "compiled" not in bench.measured


def test_the_first_passes_count_as_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    now, count = 0.0, 0

    def take_pass() -> None:
        nonlocal now, count
        now, count = now + (30.0 if count == 0 else 2.0), count + 1

    monkeypatch.setattr("executor.devices.compile.time.perf_counter", lambda: now)
    assert timed(take_pass) == Timing(start=28.0, one=2.0)
