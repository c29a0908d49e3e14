"""What the frameworks have in common: the samples, the settings, and a way from one to another."""

import json
from pathlib import Path

import pytest

from conftest import FRAMEWORKS, TASKS, Ask, Create, Run
from generate import cookiecutter

# Of the indices and the augmented arrays of the first 50 batches of the default configuration.
# pragma: allowlist nextline secret
SAMPLES_SHA256 = "d8f9258e431821f8e7a720ec038a3b3cdd07c22c01dee59e642b3cc8d0647c22"

HASH_SAMPLES = """
import hashlib, json
from configs.loading import load_config
from dataloader.build import load_split, open_source, training_batches

cfg = load_config()
source = open_source(cfg.data)
decoded = load_split(cfg.data, source, "train")
batches = training_batches(cfg.data, source, decoded, cfg.train.batch_size, cfg.run.seed)
digest = hashlib.sha256()
for number in range(50):
    batch = batches.at(number * cfg.train.batch_size, cfg.train.batch_size)
    for array in (batch.indices, batch.fields["image"], batch.fields["mask"]):
        digest.update(array.tobytes())
print(json.dumps(digest.hexdigest()))
"""

# A user's own settings, written when the project was one in PyTorch.
SETTINGS = """\
train:
  max_steps: 12
  batch_size: 8
  accumulate: 2
  optimizer: {target: sgd, learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 1e-4}
  schedule: {target: linear, warmup_steps: 4}
  loss: {target: cross_entropy_dice, label_smoothing: 0.1}
  clip_norm: 1.0
  ema_decay: 0.5
data:
  source: {train: 32, validation: 16, canvas: 32, image_size: 32}
model:
  widths: [4, 8]
run:
  tensorboard: false
  log_every: 1
"""


def test_the_same_samples_in_the_same_order(project: Path, ask: Ask):
    assert ask(project, HASH_SAMPLES) == SAMPLES_SHA256


@pytest.mark.parametrize("task", TASKS)
def test_the_same_configurations(create: Create, task: str):
    first, *others = [create(framework=name, task=task) / "configs" for name in FRAMEWORKS]
    names = {path.name for path in first.iterdir() if path.suffix in (".yaml", ".json")}
    assert names >= {"default.yaml", "debug.yaml", "schema.json"}
    for name in names:
        assert {(other / name).read_bytes() for other in others} == {(first / name).read_bytes()}


@pytest.mark.slow
def test_a_project_changes_its_framework_and_keeps_its_settings(
    template: Path, framework: str, create: Create, run: Run, tmp_path: Path
):
    (other,) = set(FRAMEWORKS) - {framework}
    project = create(framework=other)
    (project / "configs" / "mine.yaml").write_text(SETTINGS, encoding="utf-8")
    words = ("--no-input", "--overwrite-if-exists")
    done = cookiecutter(template, project.parent, *words, framework=framework)
    assert done.returncode == 0, done.stderr
    fresh = create(framework=framework)
    assert tree(project) == {**tree(fresh), "configs/mine.yaml": SETTINGS.encode()}
    command = ["train", "--config", "configs/mine.yaml", f"run.dir={tmp_path / 'run'}"]
    result = run(project, "main.py", *command)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8")
    rows = [row for row in map(json.loads, text.splitlines()) if row["split"] == "train"]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["learning_rate"] for row in rows] == pytest.approx(
        [0.1 * min((step + 1) / 5, 1, (12 - step) / 8) for step in range(12)], rel=1e-6
    )
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_an_edited_file_of_the_other_framework_stays(template: Path, create: Create):
    project = create(framework="pytorch", parts="torchx")
    edited = project / "components.py"
    assert edited.is_file()
    edited.write_text("# mine\n", encoding="utf-8")
    words = ("--no-input", "--overwrite-if-exists")
    done = cookiecutter(template, project.parent, *words, framework="tensorflow")
    assert done.returncode == 0, done.stderr
    assert edited.read_text(encoding="utf-8") == "# mine\n"


def tree(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if "__pycache__" not in path.parts
    }
