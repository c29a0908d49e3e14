"""Classification as it is generated: what it learns, predicts, and that it survives kills."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Create, Run, tool
from generate import REPOSITORY
from kill_runs import Runs
from readme import pages, recipe

pytestmark = pytest.mark.slow

ACCURACY = 0.975  # for digits of people of whom none is in the training; the mean is 0.986
FILES = REPOSITORY / "tests" / "own_files"
# The first test images into a folder, a folder for each class.
DRAW = """
import sys
from pathlib import Path
from PIL import Image
from configs.loading import load_config
from dataloader.build import load_split, open_source

fields = load_split(load_config().data, open_source(load_config().data), "test").fields
for index, label in enumerate(fields["label"][:40].tolist()):
    folder = Path(sys.argv[1], f"digit {label}")
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(fields["image"][index, ..., 0]).save(folder / f"{index}.png")
"""


@pytest.fixture(scope="module")
def digits(create: Create, framework: str) -> Path:
    return create(framework=framework, task="classification")


def command(run: Run, project: Path, *words: str) -> str:
    result = run(project, "main.py", *words)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def trained(digits: Path, run: Run) -> Path:
    """A run with the default configuration."""
    command(run, digits, "train")
    return digits / "runs" / "default"


def test_the_sample_is_learned(trained: Path, digits: Path, run: Run):
    reached = json.loads(command(run, digits, "evaluate", str(trained), "--split", "test"))
    assert reached["accuracy"] >= ACCURACY
    assert reached["top_2"] >= reached["accuracy"]
    assert reached["ece"] < 0.1
    text = (trained / "report.html").read_text(encoding="utf-8")
    assert all(word in text for word in ("Confusion", "Calibration"))


def test_files_are_predicted_into_a_table(trained: Path, digits: Path, run: Run, tmp_path: Path):
    drawn = run(digits, "-c", DRAW, str(tmp_path / "drawn"))
    assert drawn.returncode == 0, drawn.stderr
    flat = tmp_path / "flat"
    flat.mkdir()
    truth = {}
    for path in (tmp_path / "drawn").rglob("*.png"):
        shutil.copy(path, flat / path.name)
        truth[path.name] = path.parent.name.removeprefix("digit ")
    output = tmp_path / "output"
    said = command(run, digits, "predict", str(trained), str(flat), "--output", str(output))
    assert {Path(line).name for line in said.splitlines()} == {"predictions.csv", "overview.png"}
    with (output / "predictions.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert {Path(row["file"]).name for row in table} == set(truth)
    for row in table:
        shares = [float(row[f"probability_{digit}"]) for digit in range(10)]
        assert sum(shares) == pytest.approx(1.0, abs=1e-5)
        assert row["label"] == str(shares.index(max(shares)))
    right = sum(row["label"] == truth[Path(row["file"]).name] for row in table)
    assert right >= 0.9 * len(truth)


def test_killed_five_times_it_ends_with_the_same_bits(digits: Path, python: Path, tmp_path: Path):
    runs = Runs(digits, python, tmp_path)
    assert [runs.killed(number) for number in range(5)] == [""] * 5


@pytest.fixture(scope="module")
def own(create: Create, framework: str) -> Path:
    """A project with a model, a sampler and a batch transform of a user's own: a file each."""
    project = create(framework=framework, task="classification")
    for source, target in {
        f"{framework}/two_heads.py": "model/two_heads.py",
        "rare_first.py": "dataloader/rare_first.py",
        "half_and_half.py": "ops/half_and_half.py",
        "own.yaml": "configs/own.yaml",
    }.items():
        shutil.copy(FILES / source, project / target)
    return project


def test_an_auxiliary_head_a_sampler_and_mixed_samples_survive_kills(
    own: Path, python: Path, run: Run, tmp_path: Path
):
    configuration = ["--config", "configs/own.yaml"]
    runs = Runs(own, python, tmp_path / "killed", configuration=configuration)
    reached = json.loads((tmp_path / "killed" / "undisturbed" / "metrics.json").read_text("utf-8"))
    assert reached["accuracy"] > 0.85
    assert [runs.killed(number) for number in range(2)] == ["", ""]
    words = [*configuration, "train.max_steps=20", f"run.dir={tmp_path / 'two'}"]
    command(run, own, "launch", "--processes", "2", "--", "train", *words)
    together, alone = losses(tmp_path / "two"), losses(tmp_path / "killed" / "undisturbed")[:20]
    # The sums of two parts are rounded otherwise, which Adam's first steps enlarge.
    assert together[0] == pytest.approx(alone[0], rel=1e-6)
    assert together == pytest.approx(alone, rel=1e-2)


def losses(run: Path) -> list[float]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [row["loss"] for row in rows if row["split"] == "train"]


# Where the examples of the pages go: the heading that they stand below.
EXAMPLES = {
    "dataloader/sources/stripes.py": "Your own source",
    "ops/channels.py": "Your own transform",
    "model/tiny.py": "Your model",
    "ops/focal.py": "Your loss",
    "evaluation/agreement.py": "Your metric",
    "evaluation/brier.py": "Your evaluator",
}
LENGTH = ["train.max_steps=150", "train.epochs=100", "train.optimizer.learning_rate=0.02"]


def test_the_examples_of_the_pages_learn_together(create: Create, framework: str, run: Run):
    project = create(framework=framework, task="classification")
    settings: dict[str, dict[str, Any]] = {}
    for path, heading in EXAMPLES.items():
        shown = recipe(pages(project), heading)
        assert not (project / path).exists()
        (project / path).write_text(shown["python"], encoding="utf-8")
        for section, values in yaml.safe_load(shown["yaml"]).items():
            settings[section] = {**settings.get(section, {}), **values}
    tool(project, "ruff", "check", "--no-cache", ".")  # by the rules that users inherit
    (project / "configs" / "mine.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    words = ["--config", "configs/mine.yaml", "train.schedule=constant", *LENGTH]
    reached = json.loads(command(run, project, "train", *words))
    assert reached["kappa"] > 0.9
    assert reached["brier"] < 0.4  # 0.5 is knowing nothing
