"""Several processes train one model on this machine's loopback, started by `launch`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import QUIET, Ask, Create

pytestmark = pytest.mark.slow

STEPS = 50
# Smooth, so that sums that are rounded otherwise stay close; and all but one without normalisation,
# which would see other batches. One has parameters that take no part; one breaks where an image is
# bright.
MODELS = {
    "pytorch": """
import os

import torch
from torch import nn


class Smooth(nn.Sequential):
    def __init__(self, num_classes, in_channels):
        super().__init__(
            nn.Conv2d(in_channels, 16, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(16, num_classes, 1),
        )


class Normed(nn.Sequential):
    def __init__(self, num_classes, in_channels):
        super().__init__(
            nn.Conv2d(in_channels, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.SiLU(),
            nn.Conv2d(16, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.SiLU(),
            nn.Conv2d(16, num_classes, 1),
        )


class PartlyUsed(Smooth):
    def __init__(self, num_classes, in_channels):
        super().__init__(num_classes, in_channels)
        self.unused = nn.Linear(3, 3)

    def forward(self, images):
        for layer in list(self)[:5]:
            images = layer(images)
        return images


class Breaking(Smooth):
    def __init__(self, num_classes, in_channels, brightest):
        super().__init__(num_classes, in_channels)
        self._brightest = brightest

    def forward(self, images):
        is_bright = images.mean(dim=(1, 2, 3), keepdim=True) > self._brightest
        return super().forward(images) * torch.where(is_bright & self.training, torch.nan, 1.0)


class GreedyOnOne(Smooth):
    def forward(self, images):
        if self.training and os.environ["RANK"] == "1":
            torch.empty(10**14)
        return super().forward(images)
""",
    "tensorflow": """
import json
import os

import keras
import tensorflow as tf
from model.keras_layers import BatchNormalization


class Smooth(keras.Sequential):
    def __init__(self, num_classes, in_channels):
        super().__init__(
            [
                keras.layers.Conv2D(16, 3, padding="same", activation="silu", name="first"),
                keras.layers.Conv2D(16, 3, padding="same", activation="silu", name="second"),
                keras.layers.Conv2D(num_classes, 1, name="head"),
            ]
        )


class Normed(keras.Sequential):
    def __init__(self, num_classes, in_channels):
        super().__init__(
            [
                keras.layers.Conv2D(16, 3, padding="same", use_bias=False, name="first"),
                BatchNormalization(16, name="first_norm"),
                keras.layers.Activation("silu"),
                keras.layers.Conv2D(16, 3, padding="same", use_bias=False, name="second"),
                keras.layers.BatchNormalization(epsilon=1e-5, name="second_norm"),
                keras.layers.Activation("silu"),
                keras.layers.Conv2D(num_classes, 1, name="head"),
            ]
        )


class PartlyUsed(Smooth):
    def __init__(self, num_classes, in_channels):
        super().__init__(num_classes, in_channels)
        self.unused = self.add_weight(shape=(3, 3), name="unused")


class Breaking(keras.Model):
    def __init__(self, num_classes, in_channels, brightest):
        super().__init__()
        self.smooth = Smooth(num_classes, in_channels)
        self._brightest = brightest

    def call(self, images, training=False):
        logits = self.smooth(images)
        if not training:
            return logits
        is_bright = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True) > self._brightest
        return logits * tf.where(is_bright, float("nan"), 1.0)


class GreedyOnOne(Smooth):
    def call(self, images, training=False):
        logits = super().call(images)
        if not training or json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0:
            return logits
        much = tf.broadcast_to(tf.reduce_mean(images), [10**7, 10**7])  # 400 TB
        return logits + tf.cast(tf.reduce_sum(much), logits.dtype)
""",
}
STRATEGIES = {"pytorch": ["ddp", "fsdp"], "tensorflow": ["multi_worker", "mirrored"]}
# One process that has several devices: TensorFlow divides a CPU before it runs.
DIVIDED = """
import sys
import tensorflow as tf
from main import run

cpu = tf.config.list_physical_devices("CPU")[0]
parts = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv.pop(1))
tf.config.set_logical_device_configuration(cpu, parts)
sys.exit(run())
"""
SETTINGS = [
    "model.target=model.mine:Smooth",
    *("executor.precision=fp32", f"train.max_steps={STEPS}", "train.epochs=1000"),
    *("train.batch_size=12", "train.evaluate_every=10", "train.checkpoint_every=10"),
    *("run.log_every=1", "run.tensorboard=false"),
    "train.schedule=constant",  # others depend on the number of steps
    "executor.timeout_minutes=2",  # a fault that lets them wait for each other shall be seen
]

Train = Callable[..., subprocess.CompletedProcess[str]]
Background = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def place(create: Create, framework: str) -> Path:
    project = create(framework=framework)
    (project / "model" / "mine.py").write_text(MODELS[framework], encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def strategies(framework: str) -> list[str]:
    return STRATEGIES[framework]


def started(python: Path, processes: int, *words: str, restarts: int = 0) -> list[str]:
    """Return the command that trains with so many processes; 0: in this one, without `launch`.

    With the strategy `mirrored` they are the devices of one process.
    """
    settings = dict(word.split("=", 1) for word in (*SETTINGS, *words))  # the later one counts
    given = [f"{name}={value}" for name, value in settings.items()]
    training = ["train", "--config", "configs/debug.yaml", *given]
    if processes == 0:
        return [str(python), "main.py", *training]
    if settings.get("executor.strategy") == "mirrored":
        return [str(python), "-c", DIVIDED, str(processes), *training]
    launch = ["launch", "--processes", str(processes), "--restarts", str(restarts), "--"]
    return [str(python), "main.py", *launch, *training]


@pytest.fixture(scope="module")
def train(place: Path, python: Path) -> Train:
    def train(
        run: Path, processes: int, *words: str, restarts: int = 0
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            started(python, processes, f"run.dir={run}", *words, restarts=restarts),
            cwd=place,
            env={**os.environ, **QUIET},
            capture_output=True,
            text=True,
        )

    return train


@pytest.fixture
def background(place: Path, python: Path) -> Background:
    """Train with two processes, without waiting for them."""

    def background(run: Path, *words: str, restarts: int = 0) -> subprocess.Popen[str]:
        return subprocess.Popen(
            started(python, 2, f"run.dir={run}", *words, restarts=restarts),
            cwd=place,
            env={**os.environ, **QUIET},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    return background


@pytest.fixture(scope="module")
def trained(
    train: Train, strategies: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Train once with so many processes and a strategy; without one, with that of `auto`."""
    known: dict[tuple[int, str], Path] = {}

    def trained(processes: int, strategy: str = "") -> Path:
        chosen = strategy or strategies[0]
        if (processes, chosen) not in known:
            run = tmp_path_factory.mktemp("runs") / f"{chosen}-{processes}"
            done = train(run, processes, f"executor.strategy={chosen if processes else 'single'}")
            assert done.returncode == 0, done.stderr
            known[processes, chosen] = run
        return known[processes, chosen]

    return trained


def losses(run: Path) -> list[float | None]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [row["loss"] for row in rows if row["split"] == "train"]


def numbers(run: Path) -> list[tuple[float, float, float]]:
    """Return loss, gradient norm and learning rate of each step."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    names = ("loss", "grad_norm", "learning_rate")
    return [tuple(row[name] for name in names) for row in rows if row["split"] == "train"]


def values(run: Path) -> dict[str, float]:
    content: dict[str, float] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert content.pop("split") == "validation"
    return content


def results(run: Path) -> dict[str, bytes]:
    names = ["metrics.json", "metrics.jsonl", "model.safetensors"]
    newest = saved(run)[-1]
    files = [*(run / name for name in names), newest, newest.with_suffix(".safetensors")]
    return {file.name: file.read_bytes() for file in files}


def rows(run: Path) -> int:
    """Count the rows of the metrics so far."""
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def saved(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*.json"))


# Three do not share the eight samples of an evaluation evenly. Two with the second strategy: below.
@pytest.mark.parametrize(("processes", "place_of_strategy"), [(1, -1), (2, 0), (3, 0), (3, -1)])
def test_several_processes_compute_what_one_does(
    trained: Callable[..., Path], strategies: list[str], processes: int, place_of_strategy: int
):
    alone = trained(0)
    assert len(losses(alone)) == STEPS
    assert losses(alone)[-1] < 0.8 * losses(alone)[0]
    together = trained(processes, strategies[place_of_strategy])
    assert losses(together) == pytest.approx(losses(alone), rel=1e-5)
    assert values(together) == pytest.approx(values(alone), rel=1e-4)


def test_learning_rates_mean_the_same_for_any_number_of_processes(
    train: Train, strategies: list[str], tmp_path: Path
):
    """With plain gradient descent: Adam would forgive gradients that are too large by a factor."""
    descent = "train.optimizer={target: sgd, learning_rate: 0.2, momentum: 0.9}"
    loss = "train.loss={target: cross_entropy_dice, class_weights: [1, 2, 0.5]}"
    words = [descent, loss, "train.schedule=cosine", "train.max_steps=12", "train.accumulate=2"]
    assert train(tmp_path / "alone", 0, *words).returncode == 0
    alone = numbers(tmp_path / "alone")
    assert alone[-1][0] < 0.9 * alone[0][0]
    for strategy in strategies:
        done = train(tmp_path / strategy, 2, *words, f"executor.strategy={strategy}")
        assert done.returncode == 0, done.stderr
        for together, expected in zip(numbers(tmp_path / strategy), alone, strict=True):
            assert together == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("framework", ["tensorflow"], indirect=True)
def test_synchronised_normalisation_sees_what_that_of_one_process_sees(
    train: Train, strategies: list[str], tmp_path: Path
):
    normed = ["model.target=model.mine:Normed", "train.max_steps=20"]
    together = [*normed, "executor.sync_batch_norm=true"]
    done = train(tmp_path / "alone", 0, *together)
    assert done.returncode == 0, done.stderr
    assert "sync_batch_norm has nothing to do: the whole batch is in one place" in done.stderr
    alone = losses(tmp_path / "alone")
    for strategy in strategies:
        done = train(tmp_path / strategy, 2, *together, f"executor.strategy={strategy}")
        assert done.returncode == 0, done.stderr
        assert "2 batch normalisations see the batches of all 2" in done.stderr
        assert losses(tmp_path / strategy) == pytest.approx(alone, rel=1e-5)
        assert values(tmp_path / strategy) == pytest.approx(values(tmp_path / "alone"), rel=1e-4)
    assert train(tmp_path / "apart", 2, *normed).returncode == 0
    assert losses(tmp_path / "apart") != pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize("framework", ["pytorch"], indirect=True)
def test_normalisation_is_not_synchronised_on_cpus(
    train: Train, strategies: list[str], tmp_path: Path
):
    words = ["model.target=model.mine:Normed", "executor.sync_batch_norm=true"]
    for strategy in strategies:
        run = tmp_path / strategy
        done = train(run, 2, *words, f"executor.strategy={strategy}", restarts=2)
        assert done.returncode == 2, done.stderr
        assert "error: executor.sync_batch_norm=true: PyTorch synchronises" in done.stderr
        assert "Traceback" not in done.stderr
        # Whoever refuses first ends the other, which may not have said it yet; none starts again.
        assert done.stderr.count("PyTorch synchronises") <= 2
        assert not saved(run) and not (run / "metrics.jsonl").exists()


def test_what_is_evaluated_by_several_is_counted_once(
    trained: Callable[..., Path], train: Train, tmp_path: Path
):
    """Eight samples in batches of 12 are no multiple of 3: one process has fewer."""
    before = values(trained(0))
    run = tmp_path / "run"
    shutil.copytree(trained(0), run)
    (run / "metrics.json").unlink()  # or the run would be left as it is
    done = train(run, 3, "train.keep_checkpoints=3")
    assert done.returncode == 0, done.stderr
    after = values(run)
    assert after.pop("loss") == pytest.approx(before.pop("loss"), rel=1e-6)
    assert after == before  # from whole numbers, so to the last bit


def test_the_first_process_prints_and_writes_for_all(train: Train, tmp_path: Path):
    """Also how fast they are together."""
    done = train(tmp_path / "run", 2, "train.max_steps=30", "executor.profile=true")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("device    cpu") == 1
    assert "12 = 6 samples x 1 accumulated x 2 processes" in done.stderr
    assert json.loads(done.stdout)["loss"]
    assert not list((tmp_path / "run").rglob("*.tmp"))
    speed = json.loads((tmp_path / "run" / "speed.json").read_text(encoding="utf-8"))
    assert (speed["processes"], speed["batch_size"]) == (2, 12)
    assert speed["samples_per_second"] == pytest.approx(12 / speed["seconds_per_step"])
    assert done.stderr.count("speed     ") == done.stderr.count("profile   ") == 1
    assert "the most of 2 processes" in done.stderr
    assert len(list((tmp_path / "run" / "profile").glob("*.json.gz"))) == 1


def test_memory_that_runs_out_on_one_process_ends_all_and_is_not_tried_again(
    train: Train, tmp_path: Path
):
    done = train(tmp_path / "run", 2, "model.target=model.mine:GreedyOnOne", restarts=2)
    assert done.returncode == 2, done.stderr
    assert "error: rank 1: out of memory (CPU: 400,000.0 GB more were asked for" in done.stderr
    assert "train.accumulate=2: 3 at once in place of 6 samples" in done.stderr
    assert done.stderr.count("device    cpu") == 1  # once, not three times


def test_a_run_goes_on_with_another_number_of_processes_and_another_strategy(
    train: Train, trained: Callable[..., Path], strategies: list[str], tmp_path: Path
):
    first, last = strategies[0], strategies[-1]
    run, step = tmp_path / "run", 0
    parts = [(2, last, 10), (0, "single", 20), (3, first, 30), (2, last, STEPS)]
    for processes, strategy, steps in parts:
        words = (f"executor.strategy={strategy}", f"train.max_steps={steps}")
        done = train(run, processes, *words)
        assert done.returncode == 0, done.stderr
        assert step == 0 or f"continues after step {step}" in done.stderr
        step = steps
    assert losses(run) == pytest.approx(losses(trained(0)), rel=1e-5)


@pytest.mark.parametrize("place_of_strategy", [0, -1])
def test_everything_at_once_goes_on_to_the_same_bits(
    train: Train, strategies: list[str], tmp_path: Path, place_of_strategy: int
):
    """Normalisation, average, dropout, accumulation, bf16 and workers; stopped in between."""
    words = [
        f"executor.strategy={strategies[place_of_strategy]}",
        *("model.target=model.unet:UNet", "model.dropout=0.1"),
        *("executor.precision=bf16", "train.accumulate=2", "train.ema_decay=0.9"),
        *("data.workers=2", "train.clip_norm=0.5", "train.max_steps=20"),
    ]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole, 2, *words).returncode == 0
    shutil.copytree(whole, parts)
    for name in ("metrics.json", "model.safetensors"):
        (parts / name).unlink()
    for file in [saved(parts)[-1], saved(parts)[-1].with_suffix(".safetensors")]:
        file.unlink()
    done = train(parts, 2, *words)
    assert "continues after step" in done.stderr, done.stderr
    assert results(parts) == results(whole)


# Prints how bright the brightest training scene is, between it and the next one, from -1 to 1.
BRIGHTEST = """
import json
from dataloader.sources.digit_scenes import DigitScenes
scenes = DigitScenes(32, train=16, validation=8, test=8).split("train")
means = sorted(float(scenes.read(i)["image"].mean()) for i in range(16))
print(json.dumps((means[-1] + means[-2]) / 255 - 1))
"""


@pytest.mark.parametrize(("policy", "code"), [("stop", 3), ("skip", 0)])
def test_all_processes_agree_that_a_loss_is_not_finite(
    place: Path, train: Train, ask: Ask, tmp_path: Path, policy: str, code: int
):
    """One sample breaks the logits of the one process that sees it."""
    words = [
        *("model.target=model.mine:Breaking", f"model.brightest={ask(place, BRIGHTEST)}"),
        *("train.max_steps=6", "train.batch_size=4", "data.transforms=[]"),
        *(f"train.on_divergence={policy}", "train.divergence_limit=100"),
        *("task.mean=[0.5,0.5,0.5]", "task.std=[0.5,0.5,0.5]"),
    ]
    done = train(tmp_path / "run", 2, *words)
    assert done.returncode == code, done.stderr
    assert re.search(r"step \d gave loss nan", done.stderr)
    if code == 0:
        assert "They are left out (1 of at most 100)" in done.stderr
        found = losses(tmp_path / "run")
        assert found.count(None) >= 1  # NaN, which JSON does not have
        assert sum(loss is not None for loss in found) >= 4


def test_parameters_that_take_no_part_are_left_alone(train: Train, tmp_path: Path):
    words = ["model.target=model.mine:PartlyUsed", "train.max_steps=4", "train.optimizer=adamw"]
    for processes in (0, 2):
        done = train(tmp_path / str(processes), processes, *words)
        assert done.returncode == 0, done.stderr
    alone, together = losses(tmp_path / "0"), losses(tmp_path / "2")
    assert together == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize(
    ("processes", "words", "message"),
    [
        (2, ["train.batch_size=3"], r"train.batch_size=3 cannot be split over 2 processes"),
        (2, ["executor.strategy=single"], r"executor.strategy=single, but 2 processes"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    train: Train, tmp_path: Path, processes: int, words: list[str], message: str
):
    done = train(tmp_path / "run", processes, *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.fullmatch(rf"error: {message}.*\n", done.stderr)  # not even what would be started
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.batch_size=3"], "train.batch_size=3 cannot be split over 2 devices"),
        (["executor.compile=true"], "executor.compile=true: XLA compiles for one device alone"),
    ],
)
@pytest.mark.parametrize("framework", ["tensorflow"], indirect=True)
def test_devices_of_one_process_refuse_what_they_cannot_do(
    train: Train, tmp_path: Path, words: list[str], message: str
):
    done = train(tmp_path / "run", 2, "executor.strategy=mirrored", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"error: {message}" in done.stderr
    assert not (tmp_path / "run").exists()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def workers_of(parent: int) -> list[int]:
    """Return the processes that train: those without children below a launcher."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [worker for child in children for worker in workers_of(int(child))] or [parent]


# Python runs it before anything else: a process that is started again comes late.
LATE = """
import json, os, pathlib, time
place = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index")
rank = os.environ.get("RANK", place)
if rank is not None:
    note = pathlib.Path(os.environ["NOTES"], f"rank-{rank}")
    if note.exists() and str(rank) == os.environ["LATE"]:
        time.sleep(4)
    note.touch()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("late", [0, 1])
def test_a_rank_that_is_killed_is_restarted_and_may_come_later_than_the_other(
    background: Background,
    trained: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    late: int,
):
    """To the same bits: what the dead left behind is not taken for what the late has yet to say."""
    (tmp_path / "sitecustomize.py").write_text(LATE, encoding="utf-8")
    for name, value in (("PYTHONPATH", tmp_path), ("NOTES", tmp_path), ("LATE", late)):
        monkeypatch.setenv(name, str(value))
    run = tmp_path / "run"
    process = background(run, restarts=1)
    wait_until(lambda: bool(saved(run)), process)
    os.kill(workers_of(process.pid)[late], signal.SIGKILL)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors
    assert "continues after step" in errors
    assert results(run) == results(trained(2))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_signal_stops_all_processes_at_one_step(
    background: Background, train: Train, trained: Callable[..., Path], tmp_path: Path
):
    run = tmp_path / "run"
    for who in ("launcher", "worker"):
        before = rows(run)
        process = background(run)
        wait_until(lambda before=before: rows(run) > before, process)
        # A worker that is not the first tells the others.
        os.kill(process.pid if who == "launcher" else workers_of(process.pid)[-1], signal.SIGTERM)
        errors = process.communicate()[1]
        assert process.returncode == 143, errors
        stopped = re.findall(rf"stopped at step (\d+) of {STEPS} with a checkpoint", errors)
        assert len(set(stopped)) == 1, errors
        assert saved(run)[-1].stem == f"step-{int(stopped[0]):08d}"
    assert train(run, 2).returncode == 0
    assert results(run) == results(trained(2))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_rank_that_is_killed_for_good_stops_the_others_and_is_named(
    background: Background, tmp_path: Path
):
    run = tmp_path / "run"
    process = background(run, restarts=0)
    wait_until(lambda: bool(saved(run)), process)
    workers = workers_of(process.pid)
    os.kill(workers[-1], signal.SIGKILL)
    errors = process.communicate()[1]
    assert process.returncode == 1, errors
    assert re.search(r"rank\s*:? 1", errors), errors
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_rank_that_hangs_is_waited_for_no_longer_than_configured(
    background: Background, tmp_path: Path
):
    run = tmp_path / "run"
    process = background(run, "executor.timeout_minutes=0.5")  # they start in less
    wait_until(lambda: bool(saved(run)), process)
    workers = workers_of(process.pid)
    os.kill(workers[-1], signal.SIGSTOP)
    errors = process.communicate(timeout=180)[1]
    assert process.returncode == 1, errors
    reasons = "Timed out|timed out|stopped sending heartbeats"
    lost = re.search(rf"error: rank 0 of 2 lost the others at step (\d+): .*({reasons})", errors)
    assert lost is not None, errors
    assert 10 <= int(lost[1]) < STEPS
    assert "Traceback" not in errors.partition("error: rank 0")[0]  # torchrun's own follows
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    # That a run goes on after such an end, the tests of killed ones hold.
