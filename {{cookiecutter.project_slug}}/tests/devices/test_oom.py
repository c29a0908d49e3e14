"""Memory that runs out is told in one message, with settings that help."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from configs.loading import load_config
from dataloader.build import open_source
from executor.checkpoints import checkpoint
from executor.devices.device import Device
from executor.devices.memory import out_of_memory
from executor.devices.oom import explain_out_of_memory, training_advice
from executor.distributed.world import STRATEGIES, World
from executor.inference.build import build_task
from executor.runs import status
from main import main
from utils.errors import UserError
from utils.exits import exit_code
from utils.memory import OutOfMemory, amount
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

TINY = str(PROJECT / "tests" / "tiny.yaml")
ON_CPU = ("executor.device=cpu", "executor.precision=fp32")


@pytest.fixture
def greedy(greedy_code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The target of a model for which memory runs out."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "greedy.py").write_text(greedy_code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    yield "greedy:Greedy"
    sys.modules.pop("greedy", None)


def train(run: Path, *words: str) -> dict[str, float]:
    given = [f"run.dir={run}", "run.tensorboard=false", *ON_CPU, *words]
    values: dict[str, float] = main(["train", "--config", TINY, *given])
    return values


def advised(*words: str, world: World | None = None, where: str = "GPU") -> str:
    before = (*ON_CPU, "train.batch_size=32")
    settings = dict(word.split("=", 1) for word in (*before, *words))  # the later word counts
    cfg = load_config(None, [f"{key}={value}" for key, value in settings.items()])
    device = Device(cfg)
    device.world = world or World()
    task = build_task(cfg, open_source(cfg.data))
    shortage = OutOfMemory(where)  # type: ignore[arg-type]
    return "\n".join(training_advice(cfg.train, cfg.data, device, task, shortage))


def test_a_training_that_does_not_fit_goes_on_as_the_message_says(
    greedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = [f"model={{target: {greedy}, most: 2}}", "train.schedule=constant"]
    train(run, *words, "train.accumulate=2", "train.max_steps=2")
    capsys.readouterr()
    assert exit_code(lambda: train(run, *words)) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "error: out of memory (CPU: 400,000.0 GB more were asked for, free were " in said
    assert "after step 2." in said
    assert "train.accumulate=2: 2 at once in place of 4 samples" in said
    assert checkpoint.steps(run / "checkpoints")[-1] == 2
    told = status.read(run / "status.json")
    assert told is not None
    assert told.status == "failed"
    assert train(run, *words, "train.accumulate=2")["loss"] > 0.0
    assert checkpoint.steps(run / "checkpoints")[-1] == 4


def test_an_evaluation_that_does_not_fit_is_told_too(
    greedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, words = tmp_path / "run", ("train.accumulate=2",)
    train(run, f"model={{target: {greedy}, most: 4, most_judged: 2}}", *words)
    with pytest.raises(UserError, match=r"out of memory .*in the evaluation") as refused:
        main(["evaluate", str(run), "train.accumulate=1"])
    assert "train.accumulate=2: 2 at once" in str(refused.value)
    assert main(["evaluate", str(run)])["loss"] > 0.0


def test_before_the_first_step_nothing_is_written(greedy: str, tmp_path: Path) -> None:
    words = f"model={{target: {greedy}, most: 4, most_judged: 0}}"
    with pytest.raises(UserError, match=r"out of memory .*before the first step"):
        train(tmp_path / "run", words)
    assert not (tmp_path / "run").exists()


def test_check_says_it_as_well(greedy: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"model={{target: {greedy}, most: 2}}", *ON_CPU]
    with pytest.raises(UserError, match="checks found something bad"):
        main(["check", "--config", TINY, *words])
    assert "bad  training batch: out of memory (CPU" in capsys.readouterr().out


def test_a_prediction_that_does_not_fit(greedy: str, tmp_path: Path) -> None:
    train(tmp_path / "run", f"model={{target: {greedy}, most: 4}}")
    from PIL import Image

    from executor.inference.predict import predict

    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    with pytest.raises(UserError, match=r"out of memory .*after 0 of 1 files"):
        predict(
            str(tmp_path / "run"),
            [str(tmp_path / "photo.png")],
            str(tmp_path / "out"),
            ["model.most_judged=0"],
        )


def test_arrays_that_do_not_fit_are_memory_too() -> None:
    asked = r"CPU: 8,00\d,\d{3}\.\d GB more were asked for"
    with (
        pytest.raises(UserError, match=asked),
        explain_out_of_memory(lambda: "at once", lambda _: ["Have less."]),
    ):
        np.empty(10**15)


def test_other_errors_stay_what_they_are() -> None:
    with (
        pytest.raises(RuntimeError, match="shape mismatch"),
        explain_out_of_memory(lambda: "at once", lambda _: []),
    ):
        raise RuntimeError("shape mismatch; could not allocate attention")
    assert out_of_memory(ValueError("out of patience")) is None


def test_the_next_number_of_parts_divides_each_share() -> None:
    two = World(STRATEGIES[-1], rank=0, size=2)
    assert "train.accumulate=2: 16 at once in place of 32 samples;" in advised()
    assert "train.accumulate=8: 4 at once in place of 8 samples;" in advised("train.accumulate=4")
    assert "train.accumulate=3: 5 at once in place of 15 samples;" in advised(
        "train.batch_size=30", world=two
    )
    assert "accumulate" not in advised("train.batch_size=4", "train.accumulate=4")


def test_other_settings_are_named_with_numbers() -> None:
    text = advised("data.source.image_size=[64,96]")
    assert "train.batch_size=16 in place of 32" in text
    assert "data.source.image_size=[32,48] has a quarter of the pixels of 64x96" in text
    assert "executor.precision=bf16" in text
    assert "precision" not in advised("executor.precision=bf16")
    assert "batch_size=" not in advised("train.batch_size=1")
    assert "data.cache=disk" not in text
    assert "data.cache=disk" in advised(where="CPU")
    assert ("executor.strategy=fsdp" in advised(world=World("ddp", size=2))) == (
        "fsdp" in STRATEGIES
    )


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("Tried to allocate 20.00 MiB.", 20 << 20),
        ("Tried to allocate 1.50 GB on", 3 << 29),
        ("Unable to allocate 71.1 PiB for", int(71.1 * (1 << 50))),
        ("you tried to allocate 400 bytes.", 400),
        ("to allocate much", None),
    ],
)
def test_amounts_in_messages(text: str, bytes_: int | None) -> None:
    assert amount("to allocate", text) == bytes_
