"""The trainer in a notebook, callbacks, and the settings that help to look inside."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.loading import load_config
from executor.training.trainer import Trainer
from main import main
from utils.errors import DivergedError, UserError
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

TINY = str(PROJECT / "tests" / "tiny.yaml")
QUIET = ("run.tensorboard=false", "executor.device=cpu")
TRACKER = """
from executor.training.callbacks import Callback

calls = []


class Tracker(Callback):
    def __init__(self, name="mine"):
        self.name = name

    def start(self, run):
        calls.append(("start", run.step, run.total_steps, run.config["train"]["batch_size"]))

    def step(self, step, values):
        calls.append(("step", step, sorted(values)))

    def log(self, step, values):
        calls.append(("log", step, values["loss"]))

    def evaluation(self, step, values):
        calls.append(("evaluation", step, "loss" in values))

    def checkpoint(self, step, folder):
        calls.append(("checkpoint", step, folder))

    def end(self, status):
        calls.append(("end", status, self.name))


class Stranger:
    pass
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """The calls that a tracker of one's own has noted."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "tracker.py").write_text(TRACKER)
    monkeypatch.syspath_prepend(str(folder))
    import tracker  # type: ignore[import-not-found]

    yield tracker.calls
    sys.modules.pop("tracker", None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    values = Trainer(load_config(TINY, [f"run.dir={run}", *QUIET])).fit()
    assert values["loss"] > 0.0
    return run


def test_a_trainer_writes_what_the_command_writes(trained: Path, tmp_path: Path) -> None:
    main(["train", "--config", TINY, f"run.dir={tmp_path / 'run'}", *QUIET])
    for name in ("model.safetensors", "metrics.jsonl", "metrics.json"):
        assert (trained / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_callbacks_of_ones_own_are_called_with_plain_values(
    calls: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = [f"run.dir={run}", *QUIET, "run.callbacks=[{target: tracker:Tracker, name: other}]"]
    main(["train", "--config", TINY, *words, "run.log_every=2", "train.checkpoint_every=100"])
    names = ["grad_norm", "learning_rate", "loss"]
    assert calls[0] == ("start", 0, 4, 4)
    assert [c for c in calls if c[0] == "step"] == [("step", n, names) for n in range(1, 5)]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [("log", row["step"], row["loss"]) for row in rows if row["split"] == "train"]
    assert [c for c in calls if c[0] == "log"] == losses
    assert calls[-3:] == [
        ("evaluation", 4, True),
        ("checkpoint", 4, str(run / "checkpoints")),
        ("end", "finished", "other"),
    ]


@pytest.mark.parametrize(
    ("words", "error", "status"),
    [
        (["train.optimizer.learning_rate=1e30", "train.schedule=constant"], DivergedError, "d"),
        (["run.callbacks=[tracker:Tracker, tracker:Stranger]"], UserError, None),
        (["run.callbacks=[tracker:Stranded]"], UserError, None),
    ],
)
def test_callbacks_hear_how_it_ended_and_others_are_refused(
    calls: list[tuple[Any, ...]],
    tmp_path: Path,
    words: list[str],
    error: type[Exception],
    status: str | None,
) -> None:
    own = ["run.callbacks=[tracker:Tracker]"] if status else []
    with pytest.raises(error, match=r"step \d|tracker"):
        main(["train", "--config", TINY, f"run.dir={tmp_path / 'run'}", *QUIET, *own, *words])
    assert [c[1] for c in calls if c[0] == "end"] == (["diverged"] if status else [])


def test_a_model_learns_the_few_samples_it_is_given(tmp_path: Path) -> None:
    words = ["train.overfit_batches=1", "train.epochs=150", "train.max_steps=150"]
    words += ["train.schedule=constant", "train.optimizer.learning_rate=0.02", "data.transforms=[]"]
    words += ["train.evaluate_every=150", "train.checkpoint_every=150", "model.widths=[8, 16]"]
    values = main(["train", "--config", TINY, f"run.dir={tmp_path / 'run'}", *QUIET, *words])
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert values["loss"] < 0.5 * json.loads(rows[0])["loss"]
    assert json.loads(rows[-1])["epoch"] == 150.0  # an epoch is one batch


def test_an_eager_step_computes_the_same(tmp_path: Path, trained: Path) -> None:
    main(["train", "--config", TINY, f"run.dir={tmp_path}/r", *QUIET, "executor.eager=true"])
    expected, found = (
        [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (trained, tmp_path / "r")
    )
    assert found == pytest.approx(expected, rel=1e-3)
    with pytest.raises(UserError, match="a compiled step has a graph"):
        load_config(TINY, ["executor.eager=true", "executor.compile=true"])
