"""A task of one's own, as docs/new_task.md adds it: a source, two halves of the task and YAML."""

import filecmp
import json
import re
from pathlib import Path

import pytest

from conftest import Create, Run
from generate import REPOSITORY
from readme import recipe
from strict import check_style, check_types

pytestmark = pytest.mark.slow

PAGE = "docs/new_task.md"
# Where the page's blocks go: what stands below a heading, in which language.
FILES = {
    "dataloader/sources/spots.py": ("The source", "python"),
    "evaluation/points.py": ("The task", "python"),
    "ops/points.py": ("What the model is given", "python"),
    "configs/points.yaml": ("The settings", "yaml"),
}
# Draws the first test image into a file, as a user would have one.
DRAW = """
import sys
from PIL import Image
from dataloader.sources.spots import Spots
fields = Spots().split("test").read(0)
Image.fromarray(fields["picture"][..., 0]).save(sys.argv[1])
print(fields["point"].tolist())
"""


@pytest.fixture(scope="module")
def place(create: Create, framework: str) -> Path:
    project = create(framework=framework)
    page = {PAGE: (project / PAGE).read_text(encoding="utf-8")}
    for path, (heading, language) in FILES.items():
        assert f"`{path}`" in page[PAGE]
        assert not (project / path).exists()
        text = recipe(page, heading)[language]
        (project / path).write_text(text, encoding="utf-8")
    return project


def command(run: Run, place: Path, *words: str) -> tuple[str, str]:
    result = run(place, "main.py", *words)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def trained(place: Path, run: Run) -> Path:
    command(run, place, "train", "--config", "configs/points.yaml")
    return place / "runs" / "points"


def values(run: Path) -> dict[str, float]:
    content: dict[str, float] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return content


def losses(run: Path) -> list[float]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [row["loss"] for row in rows if row["split"] == "train"]


def test_the_executor_knows_no_task():
    words = re.compile(r"masks?\b|image_size|class_names|(?<![a-z])iou", re.IGNORECASE)
    folder = REPOSITORY / "{{cookiecutter.project_slug}}"
    paths = [*folder.rglob("executor/**/*.py"), *folder.glob("configs/*.py")]
    assert len(paths) > 90
    found = {str(p): words.findall(p.read_text(encoding="utf-8")) for p in paths}
    assert {path: words for path, words in found.items() if words} == {}


def test_the_page_s_code_is_as_strict_as_the_project_s(place: Path, framework: str):
    check_style(place)
    check_types(place, framework)


def test_it_learns_and_says_so(trained: Path, place: Path, run: Run):
    assert values(trained)["distance"] < 0.1
    assert "The mean distance is 0.0" in (trained / "report.html").read_text(encoding="utf-8")
    said, _ = command(run, place, "evaluate", "runs/points", "--split", "validation")
    assert json.loads(said)["distance"] == pytest.approx(values(trained)["distance"], abs=1e-4)


def test_it_predicts_files(trained: Path, place: Path, run: Run, tmp_path: Path):
    drawn = run(place, "-c", DRAW, str(tmp_path / "spot.png"))
    assert drawn.returncode == 0, drawn.stderr
    words = ["predict", "runs/points", str(tmp_path / "spot.png"), "--output", str(tmp_path)]
    command(run, place, *words)
    point = json.loads((tmp_path / "spot.json").read_text(encoding="utf-8"))
    assert point == pytest.approx(json.loads(drawn.stdout), abs=0.2)


def test_it_is_checked_and_goes_on_to_the_same_bits(trained: Path, place: Path, run: Run):
    said, _ = command(run, place, "check", "--config", "configs/points.yaml", "run.dir=runs/new")
    assert "ok   task: evaluation.points:Task, samples of 16 pixels" in said
    assert "ok   mean point: 0." in said
    assert "ok   equal bits: " in said
    parts = place / "runs" / "parts"
    for steps in (70, 200):
        words = ["--config", "configs/points.yaml", f"run.dir={parts}", f"train.max_steps={steps}"]
        command(run, place, "train", *words)
    for name in ("model.safetensors", "metrics.json"):
        assert filecmp.cmp(parts / name, trained / name, shallow=False)


def test_two_processes_learn_the_same(trained: Path, place: Path, run: Run):
    words = ["train", "--config", "configs/points.yaml", "run.dir=runs/two", "train.max_steps=20"]
    command(run, place, "launch", "--processes", "2", "--", *words)
    together, alone = losses(place / "runs" / "two"), losses(trained)[:20]
    assert together == pytest.approx(alone, rel=1e-4)
