"""What becomes of a run when loss or gradient is not finite, by `train.on_divergence`.

One training scene has a class of its own in its mask. The loss below is cross-entropy, but infinite
or with a gradient of NaN wherever that class is; so once in each epoch there is a bad batch.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import executor.training.trainer
from dataloader.batches import Batch
from dataloader.order import sample_indices, shuffled
from executor.checkpoints import checkpoint
from executor.devices.tensors import read_tensors
from executor.training.build import build_state
from executor.training.loop_state import StepMetrics
from executor.training.state import TrainState
from executor.training.step import TrainStep
from main import main
from utils.errors import DivergedError
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

TINY = str(PROJECT / "tests" / "tiny.yaml")
SAMPLES, BATCH = 16, 4
ORDER = sample_indices(range(64 * SAMPLES), SAMPLES, lambda epoch: shuffled(epoch, SAMPLES, 0))
BROKEN = int(ORDER[9])  # in the third batch, and in one of each four after that
HEAD = ("head/conv/kernel", "head.weight")  # TensorFlow's name and PyTorch's
BAD_STEPS = [int(p) // BATCH + 1 for p in np.flatnonzero(ORDER == BROKEN)]

MODULE = '''
import numpy as np
from dataloader.sources.digit_scenes import DigitScenes
from ops.losses import cross_entropy
from ops.weighted_loss import mean


class Scenes(DigitScenes):
    def __init__(self, image_size=64, broken: list[int] = ()) -> None:
        super().__init__(image_size, train=16, validation=8, test=8)
        self.class_names = (*self.class_names, "broken")
        self._broken = broken

    def split(self, name):
        return Split(super().split(name), self._broken if name == "train" else ())


class Split:
    def __init__(self, scenes, broken) -> None:
        self._scenes, self._broken = scenes, broken
        self.name = scenes.name

    def __len__(self) -> int:
        return len(self._scenes)

    def read(self, index):
        fields = self._scenes.read(index)
        mask = fields["mask"]
        return {**fields, "mask": np.full_like(mask, 3) if index in self._broken else mask}


def infinite_loss():
    """Cross-entropy times 1, or times infinity where the fourth class is."""
    return lambda logits, target: everywhere(logits, target) * (1 + broken(logits, target)) ** 1000


def broken_gradient():
    """Cross-entropy times 1, or times the root of 0, whose derivative is infinite."""
    def loss(logits, target):
        return everywhere(logits, target) * ((1 + broken(logits, target)) ** -1000) ** 0.5
    return loss


def everywhere(logits, target):
    return mean(cross_entropy()(logits, target))


def broken(logits, target):  # 0 without a pixel of that class
    return mean(cross_entropy(class_weights=[0, 0, 0, 1])(logits, target))
'''


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the configuration find the scenes and the losses."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "unstable.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        yield
    sys.modules.pop("unstable", None)


SKIPPING = ("train.on_divergence=skip", "train.ema_decay=0.9", "train.checkpoint_every=1")


@pytest.fixture(scope="module")
def skipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that left out its bad steps."""
    run = tmp_path_factory.mktemp("skipped") / "run"
    train(run, *SKIPPING)
    return run


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the same settings that met no bad step."""
    run = tmp_path_factory.mktemp("healthy") / "run"
    train(run, *SKIPPING, broken=None)
    return run


def train(run: Path, *overrides: str, broken: int | None = BROKEN) -> dict[str, float]:
    """Train for eight steps, two epochs; the third and one of the last four are bad."""
    scenes = [] if broken is None else [broken]
    words = [
        f"run.dir={run}",
        f"data.source={{target: unstable:Scenes, broken: {scenes}}}",
        "train.loss=unstable:infinite_loss",
        *("train.epochs=2", "train.max_steps=8", "train.keep_checkpoints=100"),
        "run.tensorboard=false",
        *overrides,
    ]
    settings = dict(word.split("=", 1) for word in words)  # the later word counts
    given = [f"{key}={value}" for key, value in settings.items()]
    values: dict[str, float] = main(["train", "--config", TINY, *given])
    return values


def rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == "train"]


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def saved(run: Path, step: int) -> dict[str, Any]:
    """The tensors of a checkpoint but for the random generators', which go by the step."""
    tensors = read_tensors(run / "checkpoints" / f"step-{step:08d}.safetensors")
    return {k: v for k, v in tensors.items() if not k.startswith("/generators")}


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(other[name]), name)


def as_killed_after(run: Path, step: int) -> None:
    """Leave what a kill some time after a step's checkpoint leaves."""
    for later in checkpoint.steps(run / "checkpoints"):
        if later > step:
            (run / "checkpoints" / f"step-{later:08d}.json").unlink()
    (run / "model.safetensors").unlink(missing_ok=True)


def test_the_bad_steps_are_where_these_tests_expect_them() -> None:
    assert BAD_STEPS[0] == 3
    assert 5 <= BAD_STEPS[1] <= 8


@pytest.mark.parametrize("loss", ["infinite_loss", "broken_gradient"])
def test_stop_names_step_and_samples_and_saves_nothing_of_the_step(
    tmp_path: Path, loss: str
) -> None:
    words = (f"train.loss=unstable:{loss}", "train.schedule=constant", "train.checkpoint_every=2")
    samples = ", ".join(str(index) for index in ORDER[8:12])
    for _ in range(2):  # the same command again ends in the same way
        with pytest.raises(DivergedError, match=rf"step 3 gave .*of the step: {samples}\."):
            train(tmp_path / "run", *words)
        assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2]
    train(tmp_path / "healthy", *words, "train.max_steps=2", broken=None)
    assert_equal(saved(tmp_path / "run", 2), saved(tmp_path / "healthy", 2))
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2]
    assert rows(tmp_path / "run") == rows(tmp_path / "healthy")


@pytest.mark.parametrize("loss", ["infinite_loss", "broken_gradient"])
def test_skip_leaves_all_but_the_schedule_where_it_was(
    tmp_path: Path, loss: str, healthy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train(run, *SKIPPING, f"train.loss=unstable:{loss}")
    for step in BAD_STEPS[:2]:
        assert_equal(saved(run, step), saved(run, step - 1))
    assert not np.array_equal(kernel(run, 3), kernel(run, 4))
    for name, value in saved(run, 8).items():
        assert np.isfinite(np.asarray(value)).all(), name
    rates = [[row["learning_rate"] for row in rows(each)] for each in (run, healthy)]
    assert rates[0] == rates[1]
    assert [row["step"] for row in rows(run) if row["loss"] is None] == BAD_STEPS[:2]
    loop_state = checkpoint.load(run / "checkpoints", 8)["loop_state"]
    assert loop_state["sample_offset"] == 8 * BATCH
    assert loop_state["skipped"] == [(step - 1) * BATCH for step in BAD_STEPS[:2]]
    samples = ", ".join(str(index) for index in ORDER[8:12])
    told = capsys.readouterr().err
    assert "warning: step 3 gave loss " in told
    assert f"samples of the step: {samples}. They are left out (1 of at most 10)." in told


def kernel(run: Path, step: int) -> np.ndarray:
    """The weights of one of the model's layers."""
    tensors = saved(run, step)
    (name,) = (k for k in tensors if k.startswith("/model/") and k.endswith(HEAD))
    return np.asarray(tensors[name])


def test_a_mean_loss_leaves_the_skipped_steps_out(tmp_path: Path, skipped: Path) -> None:
    train(tmp_path / "means", *SKIPPING, "run.log_every=4", "train.checkpoint_every=100")
    losses = [row["loss"] for row in rows(skipped)]
    known = [loss for loss in losses[:4] if loss is not None]
    assert len(known) == 3
    assert rows(tmp_path / "means")[0]["loss"] == pytest.approx(sum(known) / 3, rel=1e-12)


@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_a_run_that_leaves_batches_out_is_the_same_however_it_was_interrupted(
    tmp_path: Path, policy: str
) -> None:
    words = (f"train.on_divergence={policy}", "train.ema_decay=0.9", "model.dropout=0.2")
    runs = {every: tmp_path / str(every) for every in (1, 3, 100)}
    for every, run in runs.items():
        train(run, *words, f"train.checkpoint_every={every}")
    assert len({weights(run) for run in runs.values()}) == 1
    assert rows(runs[1]) == rows(runs[3]) == rows(runs[100])
    assert [row["step"] for row in rows(runs[1])] == list(range(1, 9))
    known = weights(runs[1]), (runs[1] / "metrics.jsonl").read_bytes()
    for step in (BAD_STEPS[0], 0):
        as_killed_after(runs[1], step)
        train(runs[1], *words, "train.checkpoint_every=1")
        assert (weights(runs[1]), (runs[1] / "metrics.jsonl").read_bytes()) == known, step


class Spied(TrainStep):
    """Remembers where the batches began that steps were taken with."""

    seen: tuple[list[int], list[int]] = ([], [])

    def __call__(self, chunk: Batch) -> list[StepMetrics]:
        positions, indices = self.seen
        taken = super().__call__(chunk)
        positions += [chunk.position + number * BATCH for number in range(len(taken))]
        indices += chunk.indices[: BATCH * len(taken)].tolist()
        return taken


def test_rewind_leaves_the_batches_out_and_the_others_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(executor.training.trainer, "TrainStep", Spied)
    Spied.seen = ([], [])
    run = tmp_path / "run"
    train(run, "train.on_divergence=rewind", "train.checkpoint_every=2")
    assert checkpoint.steps(run / "checkpoints") == [0, 2, 4, 6, 8]
    positions, indices = Spied.seen
    assert positions[:4] == [0, 4, 8, 12]  # to the bad batch, then back to step 2 and around it
    bad = [(step - 1) * BATCH for step in BAD_STEPS if step <= 10]
    last = {position: at for at, position in enumerate(positions)}
    learned = [p for p in sorted(last) if p not in bad]
    assert learned == [p for p in range(0, 40, BATCH) if p not in bad][:8]
    assert [last[p] for p in learned] == sorted(last[p] for p in learned)
    assert positions.count(bad[0]) == 1
    for at, position in enumerate(positions):
        found = indices[at * BATCH : (at + 1) * BATCH]
        assert found == ORDER[position : position + BATCH].tolist()
    loop_state = checkpoint.load(run / "checkpoints", 8)["loop_state"]
    assert loop_state["skipped"] == bad
    assert loop_state["sample_offset"] == learned[-1] + BATCH
    assert all(row["loss"] is not None for row in rows(run))
    assert "(1 of at most 10); training goes back to step 2." in capsys.readouterr().err


def test_rewind_is_training_without_these_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "rewound", "train.on_divergence=rewind", "train.checkpoint_every=100")
    skipped = checkpoint.load(tmp_path / "rewound" / "checkpoints", 8)["loop_state"]["skipped"]
    assert len(skipped) == 2

    def built_without(*parts: Any) -> TrainState:
        state = build_state(*parts)
        state.loop_state.skipped = skipped
        return state

    monkeypatch.setattr(executor.training.trainer, "build_state", built_without)
    train(tmp_path / "without")
    assert weights(tmp_path / "without") == weights(tmp_path / "rewound")


@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_the_first_step_may_be_bad(tmp_path: Path, policy: str) -> None:
    train(tmp_path / "run", f"train.on_divergence={policy}", broken=int(ORDER[0]))
    for name, value in saved(tmp_path / "run", 8).items():
        assert np.isfinite(np.asarray(value)).all(), name


@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_more_batches_than_the_limit_end_the_run(tmp_path: Path, policy: str) -> None:
    words = (f"train.on_divergence={policy}", "train.divergence_limit=1")
    for _ in range(2):
        with pytest.raises(DivergedError, match=r"step \d gave loss .*divergence_limit=1 allows"):
            train(tmp_path / "run", *words)
    train(tmp_path / "run", f"train.on_divergence={policy}")  # goes on with a greater limit


@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_weights_that_give_no_number_at_all_end_the_run(tmp_path: Path, policy: str) -> None:
    words = ("train.optimizer.learning_rate=1e30", "train.schedule=constant", "train.max_steps=40")
    with pytest.raises(DivergedError, match="divergence_limit=3 allows"):
        train(
            tmp_path / "run", *words, "train.epochs=10", f"train.on_divergence={policy}",
            "train.divergence_limit=3", broken=None,
        )  # fmt: skip


def test_a_run_that_skips_learns(tmp_path: Path) -> None:
    train(
        tmp_path / "run", "train.on_divergence=skip", "train.divergence_limit=20",
        "train.max_steps=60", "train.epochs=15", "train.schedule=constant",
        "train.evaluate_every=5", "model.widths=[8, 16]",
    )  # fmt: skip
    losses = [row["loss"] for row in rows(tmp_path / "run") if row["loss"] is not None]
    assert len(losses) == 45
    assert losses[-1] < 0.6 * losses[0]


def test_a_run_may_go_on_with_another_policy(tmp_path: Path, skipped: Path) -> None:
    with pytest.raises(DivergedError):
        train(tmp_path / "run", *SKIPPING, "train.on_divergence=stop")
    train(tmp_path / "run", *SKIPPING)
    assert weights(tmp_path / "run") == weights(skipped)
