"""What is said about speed and memory, and the trace of some steps."""

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.loading import load_config
from executor.checkpoints import checkpoint
from executor.devices.device import Device
from executor.devices.memory import peak_memory
from executor.runs import status
from executor.runs.throughput import WARM_UP_STEPS, Speed, Throughput
from main import main
from utils import storage
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

TINY = str(PROJECT / "tests" / "tiny.yaml")
STEPS = 24


def train(run: Path | str, *words: str) -> None:
    """Train for 24 steps; more than the first 10, which do not count."""
    long = ("train.epochs=6", f"train.max_steps={STEPS}", "run.tensorboard=false")
    main(["train", "--config", TINY, f"run.dir={run}", *long, *words])


def results(run: Path) -> dict[str, bytes]:
    """Return the files whose bits follow from the seed."""
    names = ["metrics.jsonl", "metrics.json", "model.safetensors"]
    files = [run / name for name in names] + sorted((run / "checkpoints").iterdir())
    return {file.name: file.read_bytes() for file in files}


def read(run: Path) -> dict[str, Any]:
    speed: dict[str, Any] = json.loads((run / "speed.json").read_text())
    return speed


def events(trace: bytes) -> list[dict[str, Any]]:
    content: dict[str, Any] = json.loads(gzip.decompress(trace))
    return [event for event in content["traceEvents"] if event["ph"] == "X"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("plain") / "run"
    train(run)
    return run


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("profiled") / "run"
    train(run, "executor.profile=true")
    return run


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 5.0
        monkeypatch.setattr("executor.runs.throughput.time.perf_counter", lambda: self.now)


def test_only_training_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, watch = Clock(monkeypatch), Throughput(batch_size=8)
    watch.start()
    for steps in (1, WARM_UP_STEPS - 1):  # the warm-up
        clock.now += 100.0
        watch.lap(steps)
    assert watch.samples_per_second is None
    clock.now += 1.0
    with watch.paused():
        clock.now += 50.0  # an evaluation
    clock.now += 1.0
    watch.lap(2)
    watch.exclude_lap()  # a trace
    clock.now += 70.0
    watch.lap(3)
    clock.now += 0.5
    watch.lap(1)
    clock.now += 9.0
    watch.start()  # after a step back
    clock.now += 0.5
    watch.lap(1)
    assert (watch.steps, watch.seconds) == (4, 3.0)
    assert watch.samples_per_second == pytest.approx(4 * 8 / 3.0)


def test_a_run_says_how_fast_it_was(plain: Path) -> None:
    speed = read(plain)
    assert 0 < speed["steps"] <= STEPS - WARM_UP_STEPS
    assert speed["batch_size"] == 4
    assert speed["samples_per_second"] == pytest.approx(4 / speed["seconds_per_step"])
    assert 50e6 < speed["peak_memory"] < 1e12
    said = status.read(plain / "status.json")
    assert said is not None
    assert said.samples_per_second == pytest.approx(speed["samples_per_second"])
    assert "speed.samples_per_second" in (plain / "report.html").read_text()


def test_the_line_says_what_is_known() -> None:
    speed = Speed(1234.56, 0.0259, 90, 32, 2, "cuda (NVIDIA L4)", "bf16", 3 * 10**9)
    assert str(speed) == (
        "1,234.6 samples/s; 25.9 ms a step over 90 steps; peak memory 3.00 GB, the most of 2 "
        "processes"
    )
    less = Speed(**{**asdict(speed), "processes": 1, "peak_memory": None})
    assert str(less) == "1,234.6 samples/s; 25.9 ms a step over 90 steps"


def test_a_run_of_few_steps_says_nothing(tmp_path: Path) -> None:
    main(["train", "--config", TINY, f"run.dir={tmp_path / 'run'}", "run.tensorboard=false"])
    assert not (tmp_path / "run" / "speed.json").exists()


def test_memory_of_the_process_grows_with_what_it_holds() -> None:
    device = Device(load_config(None, ["executor.device=cpu"]))
    before = peak_memory(device)
    assert before is not None
    held = np.ones(before // 8)  # as much as the peak, and touched
    after = peak_memory(device)
    assert after is not None
    assert after > held.nbytes + 50e6  # there is Python and the framework besides


def test_a_trace_holds_the_model_and_changes_no_bit(plain: Path, profiled: Path) -> None:
    assert results(profiled) == results(plain)
    (trace,) = (profiled / "profile").glob("*.json.gz")
    names = [event["name"].lower() for event in events(trace.read_bytes())]
    convolutions = [name for name in names if "conv2d" in name or "convolution" in name]
    assert len(convolutions) >= 6  # forward and backward in each of the network's
    assert any("backward" in name or "backprop" in name for name in names)
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in events(trace.read_bytes()))
    # With a checkpoint at every second step two steps are traced, the first after the warm-up.
    assert trace.name == f"step-{WARM_UP_STEPS + 1:08d}.json.gz"
    assert not list(profiled.rglob("*.tmp"))


def test_what_is_traced_does_not_count_as_speed(plain: Path, profiled: Path) -> None:
    assert read(profiled)["steps"] == read(plain)["steps"] - 2


def test_a_trace_ends_before_an_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["train.epochs=2", "train.max_steps=5", "train.checkpoint_every=100"]
    main(["train", "--config", TINY, f"run.dir={run}", *words, "executor.profile=true"])
    # A short run is traced from its middle on; after step 4 it is evaluated.
    assert (run / "profile" / "step-00000003.json.gz").is_file()
    assert ": steps 3 to 4, to be opened at " in capsys.readouterr().err


def test_a_trace_reaches_the_storage_of_the_run(tmp_path: Path) -> None:
    address = f"memory://speed{tmp_path}/run"
    train(address, "executor.profile=true")
    (name,) = (n for n in storage.list_folder(f"{address}/profile")[0] if n.endswith(".json.gz"))
    assert events(storage.read_bytes(f"{address}/profile/{name}"))
    assert storage.exists(f"{address}/speed.json")


def test_a_trace_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from executor.devices.trace import Tracer

    def full(self: Tracer, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tracer, "write", full)
    train(tmp_path / "run", "executor.profile=true")
    assert "warning: the trace of a few steps could not be written" in capsys.readouterr().err
    assert checkpoint.steps(tmp_path / "run" / "checkpoints")[-1] == STEPS


def test_an_interrupted_trace_leaves_the_next_one_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executor.devices.trace import Tracer

    started: list[Tracer] = []
    start = Tracer.start

    def started_and_broken(self: Tracer, folder: Path) -> None:
        start(self, folder)
        started.append(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Tracer, "start", started_and_broken)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "broken", "executor.profile=true")
    assert [tracer.is_running for tracer in started] == [False]
    train(tmp_path / "whole", "executor.profile=true")
    assert list((tmp_path / "whole" / "profile").glob("*.json.gz"))
