"""The whole loop, from configuration to report, on the smallest data that makes sense."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from executor.devices.tensors import read_tensors
from executor.inference.load import load
from main import main
from utils import storage
from utils.errors import DivergedError, UserError
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

TINY = str(PROJECT / "tests" / "tiny.yaml")
GOLDEN = PROJECT / "tests" / "golden_losses.json"


def train(run: Path, *overrides: str) -> dict[str, float]:
    words = ["train", "--config", TINY, f"run.dir={run}", "run.tensorboard=false", *overrides]
    values: dict[str, float] = main(words)
    return values


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    main(["train", "--config", TINY, f"run.dir={run}"])
    return run


def test_a_run_leaves_everything_behind(finished: Path) -> None:
    expected = "config.yaml environment.json metrics.jsonl metrics.json model.safetensors"
    for name in f"{expected} report.html curves.png samples.png".split():
        assert (finished / name).stat().st_size > 0, name
    assert list((finished / "tensorboard").iterdir())
    assert not list(finished.rglob("*.tmp"))
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["loss"] > 0.0
    facts = json.loads((finished / "environment.json").read_text())
    assert facts["packages"]["numpy"] == np.__version__
    steps = [row["step"] for row in rows(finished) if row["split"] == "train"]
    assert steps == [1, 2, 3, 4]


def test_tensorboard_reads_the_numbers_of_the_run(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "tensorboard")).Reload()
    (validation,) = events.Scalars("validation/loss")
    assert validation.step == 4
    assert validation.value == pytest.approx(rows(finished)[-1]["loss"])
    assert [point.step for point in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert "train/samples_per_second" not in events.Tags()["scalars"]


def test_evaluation_gives_the_numbers_of_training(finished: Path) -> None:
    trained = json.loads((finished / "metrics.json").read_text())
    again = main(["evaluate", str(finished), "--split", "validation"])
    assert again.keys() == trained.keys() - {"step", "split"}
    for name, value in again.items():
        expected = np.nan if trained[name] is None else trained[name]
        assert value == pytest.approx(expected, abs=1e-6, nan_ok=True), name
    test = main(["evaluate", str(finished)])
    assert test["loss"] != again["loss"]
    assert json.loads((finished / "metrics-test.json").read_text())["loss"] == test["loss"]


def test_prediction_of_a_missing_image_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        main(["predict", str(finished), "no-such.png", "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_two_equal_runs_give_equal_bits(finished: Path, tmp_path: Path) -> None:
    train(tmp_path / "again")
    assert weights(tmp_path / "again") == weights(finished)
    assert rows(tmp_path / "again") == rows(finished)
    train(tmp_path / "other", "run.seed=1")
    assert weights(tmp_path / "other") != weights(finished)


@pytest.mark.parametrize(
    "extra",
    [
        (
            *("data.workers=2", "train.accumulate=2", "train.ema_decay=0.9", "model.dropout=0.2"),
            "train.parameter_groups=[{match: ^head, rate: 0.1, weight_decay: 0.5}]",
        ),
        ("train.optimizer=sgd", "train.optimizer.momentum=0.9", "train.clip_norm=0.5"),
    ],
    ids=["everything", "sgd"],
)
def test_an_interrupted_run_continues_to_the_same_bits(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    train(run, "train.max_steps=6", "train.epochs=2", *extra)
    whole = weights(run), rows(run)
    # What a kill during step 6 leaves: the checkpoint of step 4, and rows that came after it.
    for file in (run / "checkpoints").glob("step-00000006.*"):
        file.unlink()
    (run / "model.safetensors").unlink()
    train(run, "train.max_steps=6", "train.epochs=2", *extra)
    assert (weights(run), rows(run)) == whole


def test_a_damaged_checkpoint_is_passed_over(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    newest = run / "checkpoints" / "step-00000004.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    (run / "model.safetensors").unlink()
    train(run)
    assert weights(run) == weights(finished)
    assert rows(run) == rows(finished)


def test_the_end_of_a_signalled_run_is_a_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["train.max_steps=100000", "train.epochs=100000", "train.checkpoint_every=100000"]
    command = [sys.executable, "main.py", "train", "--config", TINY, f"run.dir={run}", *options]
    child = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 143, errors
    assert "the same command continues" in errors
    assert list((run / "checkpoints").glob("step-*.json"))


def test_learning_happens(tmp_path: Path) -> None:
    learning = ("train.max_steps=60", "train.epochs=15", "train.schedule=constant")
    network = ("model.widths=[8, 16]", "train.optimizer.learning_rate=0.01")
    steady = ("data.transforms=[]", "model.dropout=0", "run.log_every=5")
    values = train(tmp_path / "run", *learning, *network, *steady)
    losses = [row["loss"] for row in rows(tmp_path / "run") if row["split"] == "train"]
    assert losses[-1] < 0.6 * losses[0]
    assert values["loss"] < 0.7 * losses[0]


def test_losses_are_those_of_the_past(tmp_path: Path) -> None:
    """A failure says that results have changed for everybody, which must be meant and be told.

    With the versions and the vector instructions that the losses were computed with they are equal
    to the last bit; with others sums are rounded differently. What is meant is written down by
    replacing the file's content with what the failure shows.
    """
    alone = ("executor.precision=fp32", "executor.threads=1", "executor.device=cpu")
    words = [*alone, "train.max_steps=20", "train.epochs=5", "run.tensorboard=false"]
    # In a process of its own: in a used one the number of threads may be settled already.
    debug = str(PROJECT / "configs" / "debug.yaml")
    command = [sys.executable, "main.py", "train", "--config", debug, f"run.dir={tmp_path / 'run'}"]
    subprocess.run([*command, *words], cwd=PROJECT, check=True)
    losses = [row["loss"] for row in rows(tmp_path / "run") if row["split"] == "train"]
    golden, found = json.loads(GOLDEN.read_text()), {**computed_with(), "losses": losses}
    is_same = all(found[name] == golden[name] for name in computed_with())
    expected = golden["losses"] if is_same else pytest.approx(golden["losses"], rel=1e-4)
    assert losses == expected, json.dumps(found)


def computed_with() -> dict[str, Any]:
    """Say what the last bits of a loss depend on."""
    names = ("torch", "tensorflow", "tensorflow-cpu", "keras")
    versions = {name: version(name) for name in names if any(distributions(name=name))}
    cpu = Path("/proc/cpuinfo")
    words = set(cpu.read_text().split()) if cpu.exists() else set()
    vectors = sorted(word for word in words if word.startswith(("avx", "amx", "fma", "sve")))
    return {"versions": versions, "instructions": vectors}


def test_not_a_number_is_refused_before_the_update(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"step \d+ gave loss"):
        train(tmp_path / "run", "train.optimizer.learning_rate=1e30", "train.schedule=constant")


def test_another_configuration_in_the_same_folder_is_refused(finished: Path) -> None:
    with pytest.raises(UserError, match=r"train\.batch_size: 4 -> 8"):
        main(["train", "--config", TINY, f"run.dir={finished}", "train.batch_size=8"])


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="holds no run"):
        train(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_fine_tuning_starts_from_another_run(finished: Path, tmp_path: Path) -> None:
    frozen = ("train.optimizer.learning_rate=0", "train.schedule=constant", "train.max_steps=1")
    train(tmp_path / "tuned", f"train.init_from={finished}", *frozen)
    train(tmp_path / "untuned", *frozen)
    runs = (finished, tmp_path / "tuned", tmp_path / "untuned")
    known, tuned, untuned = (read_tensors(run / "model.safetensors") for run in runs)
    names = [name for name in known if name.endswith(("head.weight", "kernel"))]
    assert names
    for name in names:
        np.testing.assert_array_equal(np.asarray(tuned[name]), np.asarray(known[name]))
        assert not np.array_equal(np.asarray(untuned[name]), np.asarray(known[name]))


def test_early_stopping_ends_a_run(tmp_path: Path) -> None:
    options = ("train.optimizer.learning_rate=0", "train.schedule=constant", "train.epochs=9")
    train(
        tmp_path / "run", *options, "train.max_steps=36", "train.early_stopping={patience: 2}",
        "train.monitor=loss", "train.monitor_mode=min", "train.early_stopping.min_delta=1.0",
    )  # fmt: skip
    assert rows(tmp_path / "run")[-1]["step"] == 12


def test_a_monitor_that_no_metric_yields_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not among the values of an evaluation"):
        train(tmp_path / "run", "train.monitor=qualitee")
    assert not (tmp_path / "run").exists()


def test_a_report_that_fails_does_not_end_a_training_and_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("$x_{")

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("executor.training.finish.report_of", fail)
        train(run)
    said = capsys.readouterr().err
    assert "there is no report (ValueError: $x_{); weights and numbers are whole" in said
    assert f"report {storage.shown(str(run))}`" in said
    assert json.loads((run / "metrics.json").read_text())["loss"] > 0
    assert not (run / "report.html").exists()
    main(["report", str(run)])
    assert (run / "report.html").stat().st_size > 10_000


def test_damaged_checkpoints_leave_the_exported_weights(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    known = main(["evaluate", str(run), "--split", "validation"])
    for file in (run / "checkpoints").glob("*.json"):
        file.write_text("{}")
    again = main(["evaluate", str(run), "--split", "validation"])
    assert again == pytest.approx(known, nan_ok=True)
    said = capsys.readouterr().err
    assert "checkpoints is whole" in said
    assert "The weights in model.safetensors are used." in said
    (run / "model.safetensors").unlink()
    with pytest.raises(UserError, match="checkpoints is whole"):
        main(["evaluate", str(run)])


def test_a_monitor_that_is_never_a_number_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(sys.modules, "test_training", sys.modules[__name__])
    words = ["train.metrics=[test_training:nothing]", "train.monitor=nothing"]
    values = train(tmp_path / "run", *words, "train.monitor_mode=max")
    assert np.isnan(values["nothing"])
    assert "nothing never was a number; the last weights count" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["nothing"] is None


def nothing(counts: Any, names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield what is no number, such as the score of a class that no sample shows."""
    yield "nothing", float("nan")


def test_other_code_is_told_and_may_be_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    words = ["train", "--config", TINY, f"run.dir={run}"]
    main(words)
    assert "the code has changed" not in capsys.readouterr().err
    facts = json.loads((run / "environment.json").read_text())
    assert "ops/losses.py" in facts["code"]
    facts["code"] |= {"ops/losses.py": "other", "gone.py": "once"}
    (run / "environment.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"the code has changed .*gone\.py.* Go back to it"):
        main([*words, "run.strict_code=true"])
    main(words)
    said = capsys.readouterr().err
    assert "the code has changed since" in said
    assert "ops/losses.py" in said


def test_a_run_remembers_what_its_source_said(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    facts = json.loads((run / "facts.json").read_text())
    with monkeypatch.context() as patched:  # on a machine without the data
        patched.setattr("executor.inference.load.open_source", None)
        assert load(str(run)).task.class_names == tuple(facts["class_names"])
    (run / "facts.json").write_text(json.dumps({**facts, "class_names": ["a", "b"]}))
    for words in (["evaluate", str(run)], ["train", "--config", TINY, f"run.dir={run}"]):
        with pytest.raises(UserError, match=r"the data say otherwise .* class_names: \['a', 'b'\]"):
            main(words)
    main(["train", "--config", TINY, f"run.dir={run}", "--force"])
    assert json.loads((run / "facts.json").read_text()) == facts


def test_batch_normalisation_of_one_sample_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train.batch_size=4", "train.accumulate=4", "train.max_steps=1")
    train(tmp_path / "run", *words)
    said = "batch normalisation sees one sample at a time: raise train.batch_size"
    assert said in capsys.readouterr().err
    train(tmp_path / "two", "train.accumulate=2", "train.max_steps=1")
    assert said not in capsys.readouterr().err


def rates(run: Path) -> list[float]:
    return [row["learning_rate"] for row in rows(run) if row["split"] == "train"]


def test_a_longer_training_goes_by_the_longer_schedule_from_there_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cosine = "train.schedule={target: cosine, floor: 0.1, warmup_steps: 0}"
    longer = ("train.epochs=2", "train.max_steps=8")
    whole, run, held = (tmp_path / name for name in ("whole", "run", "held"))
    train(whole, cosine, *longer)
    train(run, cosine)
    shutil.copytree(run, held)
    capsys.readouterr()
    train(run, cosine, *longer)
    assert "train.epochs: 1 -> 2" in (said := capsys.readouterr().err)
    assert "a schedule that spans the training goes by the new one" in said
    assert rates(run)[4:] == rates(whole)[4:]
    assert rates(run)[3] < rates(whole)[3]
    # The old schedule, whose end is held.
    train(held, *longer, cosine, "train.schedule.total_steps=4")
    assert rates(held)[:4] == rates(run)[:4]
    assert rates(held)[4:] == pytest.approx([0.1 * rates(run)[0]] * 4)


def test_a_transform_with_a_bad_setting_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="probability"):
        train(tmp_path / "run", "data.transforms=[{target: flip, probability: 2.0}]")
    assert not (tmp_path / "run").exists()
