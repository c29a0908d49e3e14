"""A generated project does what it is for: it trains, continues, evaluates and predicts.

One training with the default configuration, a newcomer's from nothing, serves all tests that need
weights worth having; all others are of the size of configs/debug.yaml.
"""

import json
import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conftest import QUIET, Ask, Create, Run, in_one_framework
from readme import lines_to_type, pages, section, spans

pytestmark = pytest.mark.slow

MEAN_IOU = 0.80  # what the default training must reach
PATIENCE_SECONDS = 300.0  # after which a process that does nothing is given up


class Trained(NamedTuple):
    """A finished training, and the project in whose folder `runs` it lies."""

    project: Path
    run: Path
    metrics: dict[str, Any]
    errors: str


@pytest.fixture(scope="module")
def trained(create: Create, framework: str) -> Trained:
    """What the README's lines to type give where nothing is set up: the default configuration."""
    project = create(framework=framework)
    # A shell as a newcomer has it, but for the threads: other tests run on the same cores. Nor does
    # pip compile every file: what is imported is compiled then.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    result = subprocess.run(
        ["bash", "-e"],
        input=lines_to_type((project / "README.md").read_text(encoding="utf-8")),
        cwd=project,
        env={**kept, **QUIET, "PIP_COMPILE": "0"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    folder = project / "runs" / "default"
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return Trained(project, folder, metrics, result.stderr)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def rows(run: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics."""
    text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_lines_to_type_reach_the_score_where_nothing_is_set_up(trained: Trained):
    assert (trained.project / ".venv").is_dir()  # and so not with the tests' own environment
    assert trained.metrics["mean_iou"] >= MEAN_IOU


def test_a_training_says_what_it_decided(trained: Trained):
    for word in ("device", "data", "model", "batch", "start", "writes", "report"):
        assert re.search(rf"^{word} +\S", trained.errors, re.MULTILINE), word
    assert "1024 training, 256 validation samples at 64x64" in trained.errors
    assert "new weights, seed 0" in trained.errors
    assert "\x1b" not in trained.errors  # no colours or cursor movements where there is no terminal


def test_a_run_holds_what_the_pages_promise(trained: Trained, project: Path):
    table = section(pages(project), "What a run leaves behind").split("\n\n")[0]
    promised = [name for row in table.splitlines()[2:] for name in spans(row.split("|")[1])]
    assert len(promised) >= 10
    for name in promised:
        path = trained.run / name
        assert path.is_dir() and any(path.iterdir()) if name.endswith("/") else path.stat().st_size
    known = {name.rstrip("/") for name in promised}
    assert {path.name for path in trained.run.iterdir()} == known


def test_the_numbers_of_a_run_agree(trained: Trained):
    history = rows(trained.run)
    judged = [row for row in history if row["split"] == "validation"]
    assert [row["epoch"] for row in judged] == list(range(1, 9))
    best = max(judged, key=lambda row: row["mean_iou"])
    assert trained.metrics["step"] == best["step"]
    assert trained.metrics["mean_iou"] == pytest.approx(best["mean_iou"], abs=1e-6)
    losses = [row["loss"] for row in history if row["split"] == "train"]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < 0.3 * losses[0]


class Addresses(HTMLParser):
    """Collects whatever a page would load or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag in ("img", "svg")
        kinds = ("src", "href", "srcset", "data", "poster", "action")
        self.found += [value or "" for name, value in attrs if name in kinds]


def test_the_report_is_one_file_that_needs_nothing_else(trained: Trained):
    text = (trained.run / "report.html").read_text(encoding="utf-8")
    assert len(text) > 100_000  # the pictures lie inside
    page = Addresses()
    page.feed(text)
    assert page.pictures >= 3  # curves, samples, confusion
    assert [a[:60] for a in page.found if not a.startswith(("data:", "#"))] == []
    assert "@import" not in text
    assert re.findall(r"url\((?!['\"]?data:)", text) == []
    assert f"{trained.metrics['mean_iou']:.3f}"[:-1] in text


def test_evaluation_repeats_the_numbers_of_the_training(trained: Trained, project: Path, run: Run):
    result = run(project, "main.py", "evaluate", str(trained.run), "--split", "validation")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert set(printed) == set(trained.metrics) - {"step", "split"}
    for name, value in printed.items():
        assert value == pytest.approx(trained.metrics[name], abs=1e-5), name
    written = json.loads((trained.run / "metrics-validation.json").read_text(encoding="utf-8"))
    for name in printed:
        assert written[name] == pytest.approx(trained.metrics[name], abs=5e-6), name
    (trained.run / "metrics-validation.json").unlink()  # the other tests want the run as it was


SAVE_SCENES = """
import json, sys
import numpy as np
from PIL import Image
from configs.loading import load_config
from dataloader.build import load_split, open_source
from sklearn.datasets import load_sample_image

cfg = load_config(None, ["data.source.image_size=[120, 200]", "data.source.canvas=200"])
scenes = load_split(cfg.data, open_source(cfg.data), "test")
for index in range(8):
    Image.fromarray(scenes.fields["image"][index]).save(f"{sys.argv[1]}/scene{index}.png")
    Image.fromarray(scenes.fields["mask"][index]).save(f"{sys.argv[2]}/scene{index}.png")
photograph = load_sample_image("flower.jpg")
Image.fromarray(photograph).save(f"{sys.argv[1]}/flower.jpg")
print(json.dumps(photograph.shape[:2]))
"""

JUDGE_MASKS = """
import json, sys
from pathlib import Path
import numpy as np
from PIL import Image

predicted, truth = Path(sys.argv[1]), Path(sys.argv[2])
confusion = np.zeros((3, 3), int)
for file in truth.iterdir():
    mask = Image.open(predicted / f"{file.stem}_mask.png")
    assert mask.mode == "P", mask.mode
    np.add.at(confusion, (np.asarray(Image.open(file)), np.asarray(mask)), 1)
hits = confusion.diagonal()
photograph = np.asarray(Image.open(predicted / "flower_mask.png"))
print(json.dumps({
    "iou": (hits / (confusion.sum(0) + confusion.sum(1) - hits)).tolist(),
    "shape": photograph.shape,
    "overlay": Image.open(predicted / "flower_overlay.png").size[::-1],
    "background": float((photograph == 1).mean()),
}))
"""


def test_prediction_finds_the_digits_on_pictures_of_another_size(
    trained: Trained, project: Path, run: Run, ask: Ask, tmp_path: Path
):
    photos, truth, output = (tmp_path / name for name in ("photos", "truth", "output"))
    photos.mkdir()
    truth.mkdir()
    size = ask(project, SAVE_SCENES, photos, truth)
    words = [str(trained.run), str(photos), "--output", str(output)]
    result = run(project, "main.py", "predict", *words)
    assert result.returncode == 0, result.stderr
    names = {path.stem for path in photos.iterdir()}
    expected = {f"{name}_{kind}.png" for name in names for kind in ("mask", "overlay")}
    assert {path.name for path in output.iterdir()} == expected
    assert {Path(line).name for line in result.stdout.splitlines()} == expected
    found = ask(project, JUDGE_MASKS, output, truth)
    assert min(found["iou"]) > 0.5  # what lies at the border blurs when masks are enlarged
    assert found["shape"] == found["overlay"] == size
    assert found["background"] > 0.5  # there is no digit on a flower


def test_the_same_command_again_finds_nothing_to_do(trained: Trained, run: Run):
    before = contents(trained.run)
    result = run(trained.project, "main.py", "train")
    assert result.returncode == 0, result.stderr
    assert "nothing is left to train" in result.stderr
    printed = json.loads(result.stdout)
    assert printed["mean_iou"] == pytest.approx(trained.metrics["mean_iou"], abs=1e-5)
    after = contents(trained.run)
    assert set(after) == set(before)
    changed = [name for name in before if after[name] != before[name]]
    assert not changed


# Training rate 0: what the first evaluation sees are the weights that the run began with.
STANDING_STILL = ["train.max_steps=1", "train.optimizer.learning_rate=0", "data.source.train=32"]


def test_fine_tuning_begins_with_another_run_s_best_weights(
    trained: Trained, project: Path, run: Run, tmp_path: Path
):
    words = [f"run.dir={tmp_path / 'run'}", f"train.init_from={trained.run}", *STANDING_STILL]
    result = run(project, "main.py", "train", *words)
    assert result.returncode == 0, result.stderr
    loaded = re.search(r"^weights +(\d+) of (\d+) tensors from ", result.stderr, re.MULTILINE)
    assert loaded, result.stderr
    assert loaded[1] == loaded[2]
    # One step in training mode moves the running statistics of the normalisation a little.
    reached = json.loads(result.stdout)["mean_iou"]
    assert reached == pytest.approx(trained.metrics["mean_iou"], abs=0.05)


def test_fine_tuning_says_what_it_could_not_load(
    trained: Trained, project: Path, run: Run, tmp_path: Path
):
    file = trained.run / "model.safetensors"  # which serves as well as its run
    words = [f"train.init_from={file}", "model.widths=[16, 32, 64]", *STANDING_STILL]
    result = run(project, "main.py", "train", f"run.dir={tmp_path / 'smaller'}", *words)
    assert result.returncode == 0, result.stderr
    loaded = re.search(r"^weights +(\d+) of (\d+) tensors from ", result.stderr, re.MULTILINE)
    assert loaded and 0 < int(loaded[1]) <= int(loaded[2])
    assert re.search(r"^ +\d+ not used: ", result.stderr, re.MULTILINE)


# A run of the size of configs/debug.yaml, but long enough to be stopped in the middle.
STEPS, EVERY = 240, 10
LONG = [
    *("--config", "configs/debug.yaml", "train.epochs=1000", f"train.max_steps={STEPS}"),
    *("train.evaluate_every=5", f"train.checkpoint_every={EVERY}", "train.ema_decay=0.9"),
    *("data.workers=2", "model.dropout=0.1", "run.tensorboard=false"),
]


def changed(*words: str) -> list[str]:
    """Return the words for the long run with some of its settings changed."""
    keys = {word.partition("=")[0] for word in words}
    return [*(word for word in LONG if word.partition("=")[0] not in keys), *words]


@pytest.fixture(scope="module")
def uninterrupted(
    project: Path, run: Run, framework: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / framework
    result = run(project, "main.py", "train", *LONG, f"run.dir={folder}")
    assert result.returncode == 0, result.stderr
    return folder


def results(run: Path) -> dict[str, bytes]:
    """Return the files of a run that hold results."""
    found = contents(run)
    return {
        name: content
        for name, content in found.items()
        if name.startswith(("metrics", "model", "checkpoints/", "samples", "confusion"))
    }


def started(project: Path, python: Path, folder: Path) -> subprocess.Popen[str]:
    """Start the long run in the background."""
    command = [str(python), "main.py", "train", *LONG, f"run.dir={folder}"]
    environment = {**os.environ, **QUIET}
    return subprocess.Popen(
        command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Return as soon as a condition holds; fail if the process ends before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()[1]}"
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.002)


def saved_steps(run: Path) -> list[int]:
    return sorted(int(path.stem[5:]) for path in (run / "checkpoints").glob("step-*.json"))


def test_a_run_that_is_killed_and_stopped_again_and_again_gives_the_same_bits(
    uninterrupted: Path, project: Path, run: Run, python: Path, tmp_path: Path
):
    # By Ctrl-C; test_kills.py stops with SIGTERM.
    folder = tmp_path / "disturbed"
    for step, number in ((20, signal.SIGKILL), (80, signal.SIGINT), (150, signal.SIGKILL)):
        process = started(project, python, folder)
        wait_until(lambda step=step: max(saved_steps(folder), default=0) >= step, process)
        process.send_signal(number)
        errors = process.communicate()[1]
        assert saved_steps(folder)[-1] < STEPS
        assert not (folder / "metrics.json").exists()
        if number == signal.SIGKILL:
            assert process.returncode == -number
            continue
        assert process.returncode == 128 + number, errors
        stopped = re.search(rf"stopped at step (\d+) of {STEPS} with a checkpoint", errors)
        assert stopped, errors
        assert saved_steps(folder)[-1] == int(stopped[1])
        assert "Traceback" not in errors
    result = run(project, "main.py", "train", *LONG, f"run.dir={folder}")
    assert result.returncode == 0, result.stderr
    assert "continues after step" in result.stderr
    assert results(folder) == results(uninterrupted)


# That equal runs give equal bits, and other seeds others, the project's own tests hold.
def test_neither_workers_nor_the_working_directory_change_a_bit(
    uninterrupted: Path, project: Path, run: Run, tmp_path: Path
):
    words = changed("data.workers=0", f"run.dir={tmp_path / 'alone'}")
    words[1] = str(project / words[1])
    result = run(tmp_path, str(project / "main.py"), "train", *words)
    assert result.returncode == 0, result.stderr
    assert results(tmp_path / "alone") == results(uninterrupted)


def test_a_training_that_diverges_ends_with_code_3(project: Path, run: Run, tmp_path: Path):
    words = ["train.optimizer.learning_rate=1e30", "train.schedule=constant"]
    result = run(project, "main.py", "train", *LONG, *words, f"run.dir={tmp_path / 'run'}")
    assert result.returncode == 3
    assert re.search(r"^error: step \d+ gave loss .*the weights are unchanged", result.stderr, re.M)
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run" / "metrics.json").exists()


@in_one_framework
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["evaluate", "no-such-run"], "no-such-run holds no run"),
        (["predict", "no-such-run", "main.py", "--output", "out"], "no-such-run holds no run"),
        (["train", "run.dir=configs"], "configs exists and holds no run"),
        (["train", "run.dir=nowhere://bucket/run"], "this kind of storage cannot be reached"),
        (["train", "train.init_from=no-such-run"], "no-such-run"),
        (["train", "train.optimizer.weight_decay=-1"], "weight_decay"),
        (["train", "data.source.canvas=7"], "canvas must be 32 to 1024 pixels"),
        (["train", "--confg", "x.yaml"], "--confg"),
        (["trian"], "invalid choice: 'trian'"),
        ([], "COMMAND"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_a_mistake_ends_with_code_2_and_one_message(
    project: Path, run: Run, tmp_path: Path, words: list[str], reason: str
):
    if words[:1] == ["train"] and "run.dir" not in str(words):
        words = [*words, "train.max_steps=1", f"run.dir={tmp_path / 'run'}"]
    assert_refused(run(project, "main.py", *words), reason)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_a_mistake(project: Path, run: Run, tmp_path: Path):
    words = ["executor.device=mps", "train.max_steps=1", f"run.dir={tmp_path / 'run'}"]
    assert_refused(run(project, "main.py", "train", *words), "mps")
    assert not (tmp_path / "run").exists()


def assert_refused(result: subprocess.CompletedProcess[str], reason: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "error: " in result.stderr
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
