"""A newcomer's first changes, made as the generated README says, from the README's own blocks.

Each is YAML alone, or one new file and a few lines of YAML. Nothing in executor/ or main.py is
edited, and each test asks whether the change took effect, not only whether training still runs.
"""

import filecmp
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conftest import Ask, Create, Run
from readme import recipe, spans

pytestmark = pytest.mark.slow

# What the README leaves to its reader.
FILES = {
    "pytorch": {
        "optimizer": '''
import torch

class SignDescent(torch.optim.Optimizer):
    """Moves every weight by the same amount."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["moved"] = state.get("moved", torch.zeros_like(parameter)) + group["lr"]
                parameter -= group["lr"] * parameter.grad.sign()

def make(parameters, rate=0.1):
    return SignDescent(parameters, rate)
''',
        "schedule": """
from torch.optim.lr_scheduler import LambdaLR

def make(optimizer, total_steps, to=0.0):
    return LambdaLR(optimizer, lambda step: 1 - (1 - to) * step / total_steps)
""",
    },
    "tensorflow": {
        "optimizer": '''
import keras

class SignDescent(keras.optimizers.Optimizer):
    """Moves every weight by the same amount."""

    def build(self, variables):
        super().build(variables)
        self.moved = self.add_optimizer_variables(variables, "moved")

    def update_step(self, gradient, variable, learning_rate):
        moved = self.moved[self._get_variable_index(variable)]
        self.assign_add(moved, learning_rate * keras.ops.ones_like(gradient))
        self.assign_sub(variable, learning_rate * keras.ops.sign(gradient))

def make(rate=0.1):
    return SignDescent(rate)
''',
        "schedule": """
import keras

class Line(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, start, end, steps):
        self.start, self.end, self.steps = start, end, steps

    def __call__(self, step):
        return self.start + (self.end - self.start) * keras.ops.cast(step, "float32") / self.steps

def make(initial_learning_rate, total_steps, to=0.0):
    return Line(initial_learning_rate, initial_learning_rate * to, total_steps)
""",
    },
}

# The framework's own optimizer and schedule in the README's YAML.
OWN = {
    "pytorch": {
        "stated": ["torch.optim:SGD", "nesterov: true"],
        "rate": "lr",
        "span": "T_max",
        "saved": '["nesterov", true]',
    },
    "tensorflow": {
        "stated": ["keras.optimizers:Lion", "beta_1: 0.95"],
        "rate": "learning_rate",
        "span": "decay_steps",
        "saved": '"step": 8',
    },
}

# A training of seconds: overrides, since --config is taken by the newcomer's own file.
QUICK = [
    *("train.batch_size=4", "train.max_steps=8", "train.epochs=2", "run.log_every=1"),
    *("executor.precision=fp32", "run.tensorboard=false", "data.workers=0"),
]
SAMPLE = [
    *("data.source.train=16", "data.source.validation=8", "data.source.canvas=32"),
    *("data.image_size=32", "data.transforms=[]"),
]
SMALL_MODEL = ["model.widths=[4, 8]"]
STEADY = ["train.schedule=constant"]


class Newcomer:
    """A fresh project, and someone who changes it."""

    def __init__(self, folder: Path, untouched: Path, run: Run, framework: str) -> None:
        self.folder = folder
        self.readme = (folder / "README.md").read_text(encoding="utf-8")
        self._untouched = untouched
        self._run = run
        self._files = FILES[framework]

    def write(self, path: str, text: str) -> None:
        """Add one file."""
        assert not (self._untouched / path).exists()
        (self.folder / path).write_text(text.lstrip(), encoding="utf-8")

    def write_part(self, kind: str, target: str) -> None:
        """Add the file that a target `module:object` names, one of ours."""
        self.write_shown(target, self._files[kind])

    def write_shown(self, target: str, text: str) -> None:
        """Add the file that a target `module:object` names, with a text that defines it."""
        module, _, name = target.partition(":")
        assert re.search(rf"^(class|def) {name}\b", text, re.MULTILINE)
        self.write(module.replace(".", "/") + ".py", text)

    def train(self, name: str, text: str, *words: str) -> tuple[Path, str]:
        """Train with some YAML; return the run's folder and what was said."""
        (self.folder / "configs" / f"{name}.yaml").write_text(text, encoding="utf-8")
        command = ["train", "--config", f"configs/{name}.yaml", f"run.dir=runs/{name}"]
        result = self._run(self.folder, "main.py", *command, *QUICK, *words)
        assert result.returncode == 0, result.stderr
        self.check_untouched()
        return self.folder / "runs" / name, result.stderr

    def check_untouched(self) -> None:
        """Check that nothing was edited that a newcomer need not edit."""
        for path in [self._untouched / "main.py", *(self._untouched / "executor").rglob("*.py")]:
            name = path.relative_to(self._untouched)
            assert filecmp.cmp(path, self.folder / name, shallow=False), name


@pytest.fixture(scope="module")
def newcomer(create: Create, project: Path, run: Run, framework: str) -> Newcomer:
    return Newcomer(create(framework=framework), project, run, framework)


@pytest.fixture(scope="module")
def before(newcomer: Newcomer) -> Path:
    """The same quick training without any change."""
    return newcomer.train("before", "{}\n", *SAMPLE, *SMALL_MODEL, *STEADY)[0]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows(run: Path, split: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in rows(run, "train")]


def rates(run: Path) -> list[float]:
    return [row["learning_rate"] for row in rows(run, "train")]


def tensors(path: Path) -> dict[str, Any]:
    """Return the names of the tensors in a safetensors file, with type and shape."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    names: dict[str, Any] = json.loads(content[8 : 8 + length])
    names.pop("__metadata__", None)
    return names


def newest_checkpoint(run: Path) -> Path:
    return max((run / "checkpoints").glob("*.safetensors"))


def weights_by_shape(saved: dict[str, Any]) -> Counter[tuple[int, ...]]:
    """Count the shapes of the weights that are trained in a checkpoint."""
    statistics = re.compile("running|moving|num_batches")
    return Counter(
        tuple(entry["shape"])
        for name, entry in saved.items()
        if name.startswith("/model/") and not statistics.search(name)
    )


def states_by_shape(saved: dict[str, Any]) -> Counter[tuple[int, ...]]:
    """Count the shapes of an optimizer's tensors in a checkpoint, but for plain numbers."""
    shapes = (tuple(e["shape"]) for name, e in saved.items() if name.startswith("/optimizer/"))
    return Counter(shape for shape in shapes if shape)


def stated(readme: str, key: str) -> str:
    """Return the target of the example `key: module:object` in the README's text."""
    (target,) = {s.removeprefix(f"{key}: ") for s in spans(readme) if s.startswith(f"{key}: ")}
    assert ":" in target
    return target


# Images of different sizes whose lower half is road; the masks in one of three forms.
SAVE_IMAGES = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image

root, form = Path(sys.argv[1]), sys.argv[2]
(root / "images").mkdir(parents=True)
(root / "masks").mkdir()
random = np.random.default_rng(0)
for index in range(12):
    height, width = 2 * random.integers(20, 100, 2)
    image = random.integers(0, 128, (height, width, 3), np.uint8)
    image[height // 2 :] += 100
    Image.fromarray(image).save(root / "images" / f"{index}.jpg")
    road = np.zeros((height, width), np.uint8)
    road[height // 2 :] = 1
    if form == "grey":
        mask = Image.fromarray(road * 255)
    elif form == "palette":
        mask = Image.fromarray(road)
        mask.putpalette([10, 20, 30, 200, 100, 50])
    else:
        mask = Image.fromarray(road[..., None] * np.array([255, 0, 0], np.uint8))
    mask.save(root / "masks" / f"{index}.png")
print("null")
"""


@pytest.mark.parametrize("form", ["grey", "palette", "colour"])
def test_a_folder_of_images_and_masks(newcomer: Newcomer, run: Run, ask: Ask, form: str):
    text = recipe(newcomer.readme, "Your images and masks")["yaml"]
    root = re.search(r"root: (\S+)", text)[1]
    comment = re.search(r"mask_values: .* # or colours: (.*); leave it out for 0, 1", text)
    if form == "palette":
        text = re.sub(r"^ *mask_values:.*\n", "", text, flags=re.MULTILINE)
    elif form == "colour":
        text = re.sub(r"mask_values:.*", f"mask_values: {comment[1]}", text)
    text = text.replace(root, f"{root}/{form}")
    ask(newcomer.folder, SAVE_IMAGES, newcomer.folder / root / form, form)

    trained, said = newcomer.train(f"folder-{form}", text, *SMALL_MODEL, *STEADY)
    counts = re.search(r"Folder: (\d+) training, (\d+) validation samples at 128x192", said)
    assert int(counts[1]) + int(counts[2]) == 12
    metrics = read(trained / "metrics.json")
    assert {name for name in metrics if name.startswith("iou_")} == {"iou_background", "iou_road"}
    truth = [sum(row) for row in read(trained / "report.json")["confusion"]]
    assert truth == [int(counts[2]) * 128 * 192 / 2] * 2

    photo = newcomer.folder / root / form / "images" / "3.jpg"
    words = ["predict", str(trained), str(photo), "--output", str(trained / "out")]
    assert run(newcomer.folder, "main.py", *words).returncode == 0
    code = "import json, sys; from PIL import Image as I; a, b = map(I.open, sys.argv[1:]); "
    code += "print(json.dumps([a.size, b.size, b.getextrema()]))"
    size, mask_size, values = ask(newcomer.folder, code, photo, trained / "out" / "3_mask.png")
    assert mask_size == size
    assert values[1] <= 1


def test_a_new_model(newcomer: Newcomer, run: Run):
    shown = recipe(newcomer.readme, "Your model")
    text = shown["yaml"]
    assert len(text.splitlines()) <= 3
    newcomer.write_shown(re.search(r"target: (\S+)", text)[1], shown["python"])
    trained, said = newcomer.train("model", text, *SAMPLE, *STEADY)
    width = int(re.search(r"width: (\d+)", text)[1])
    parameters = (27 + 1) * width + (width + 1) * 3
    assert f"model.tiny:Tiny: {parameters:,} parameters" in said
    assert read(trained / "environment.json")["parameters"] == parameters
    assert {re.split("[./]", name)[0] for name in tensors(trained / "model.safetensors")} == {
        "first",
        "second",
    }
    assert losses(trained)[-1] < losses(trained)[0]
    result = run(newcomer.folder, "main.py", "evaluate", str(trained), "--split", "validation")
    reached = read(trained / "metrics.json")["mean_iou"]
    assert json.loads(result.stdout)["mean_iou"] == pytest.approx(reached, abs=1e-5)


def test_a_new_metric_that_decides_which_weights_are_best(newcomer: Newcomer):
    shown = recipe(newcomer.readme, "Your metric")
    (target,) = re.findall(r"[\w.]+:\w+(?=[,\]])", shown["yaml"])
    name = target.partition(":")[2]
    assert len(shown["yaml"].splitlines()) <= 3
    newcomer.write_shown(target, shown["python"])
    trained, said = newcomer.train("metric", shown["yaml"], *SAMPLE, *SMALL_MODEL, *STEADY)
    metrics = read(trained / "metrics.json")
    assert set(metrics) == {"step", "split", "loss", "accuracy", "mean_iou", name}
    counted = read(trained / "report.json")["confusion"]
    total = sum(map(sum, counted))
    agreed = sum(counted[i][i] for i in range(3)) / total
    columns = [sum(row[i] for row in counted) for i in range(3)]
    chance = sum(sum(counted[i]) * columns[i] for i in range(3)) / total**2
    assert metrics[name] == pytest.approx((agreed - chance) / (1 - chance), abs=1e-9)
    judged = rows(trained, "validation")
    assert len(judged) == 2
    assert metrics["step"] == max(judged, key=lambda row: row[name])["step"]
    assert f"{name} " in said  # the progress shows what decides


def test_a_new_loss(newcomer: Newcomer, before: Path):
    shown = recipe(newcomer.readme, "Your loss")
    text = shown["yaml"]
    assert len(text.splitlines()) <= 3
    newcomer.write_shown(re.search(r"loss: (\S+)", text)[1], shown["python"])
    common = [*SAMPLE, *SMALL_MODEL, *STEADY]
    plain, _ = newcomer.train("loss-plain", text, *common, "train.loss.gamma=0")
    # Without focus it is cross-entropy, which is what the other run had.
    assert losses(plain)[0] == pytest.approx(losses(before)[0], rel=1e-4)
    focused, _ = newcomer.train("loss-focused", text, *common)
    assert losses(focused)[0] < losses(before)[0]
    assert read(focused / "metrics.json")["loss"] < read(before / "metrics.json")["loss"]


def test_a_new_optimizer(newcomer: Newcomer):
    target = stated(newcomer.readme, "optimizer")
    newcomer.write_part("optimizer", target)
    text = f"train:\n  optimizer: {target}\n"
    words = [*SAMPLE, *SMALL_MODEL, *STEADY, "train.optimizer.rate=0.01"]
    trained, _ = newcomer.train("optimizer", text, *words)
    assert rates(trained) == [0.01] * 8
    assert losses(trained)[-1] < losses(trained)[0]
    saved = tensors(newest_checkpoint(trained))
    assert states_by_shape(saved) == weights_by_shape(saved)  # its own state is kept


def test_a_new_schedule(newcomer: Newcomer):
    target = stated(newcomer.readme, "schedule")
    newcomer.write_part("schedule", target)
    text = f"train:\n  schedule: {{target: {target}, to: 0.2}}\n  optimizer: sgd\n"
    words = [*SAMPLE, *SMALL_MODEL, "train.optimizer.learning_rate=0.1"]
    trained, _ = newcomer.train("schedule", text, *words)
    assert rates(trained) == pytest.approx([0.1 * (1 - 0.8 * step / 8) for step in range(8)])


def test_the_framework_s_own_optimizer_and_schedule_by_yaml_alone(
    newcomer: Newcomer, framework: str, before: Path
):
    text = recipe(newcomer.readme, "Your optimizer or schedule")["yaml"]
    own = OWN[framework]
    assert all(words in text for words in own["stated"])
    trained, _ = newcomer.train("own", text, *SAMPLE, *SMALL_MODEL)
    keys = (own["rate"], own["span"])
    peak, span = (float(re.search(rf"\b{key}: (\S+)", text)[1]) for key in keys)
    expected = [peak * (1 + math.cos(math.pi * step / span)) / 2 for step in range(8)]
    assert rates(trained) == pytest.approx(expected)
    checkpoint = newest_checkpoint(trained)
    saved = tensors(checkpoint)
    assert states_by_shape(saved) == weights_by_shape(saved)  # a momentum for each
    assert own["saved"] in checkpoint.with_suffix(".json").read_text(encoding="utf-8")
    assert losses(trained)[0] == pytest.approx(losses(before)[0], rel=1e-6)  # before any update
    assert losses(trained)[-1] != losses(before)[-1]


def test_the_rules_of_the_project_hold_after_all_this(newcomer: Newcomer, run: Run):
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_architecture.py"]
    result = run(newcomer.folder, *words)
    assert result.returncode == 0, result.stdout
