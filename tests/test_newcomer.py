"""A newcomer's first changes, made as the pages say, from the pages' own blocks.

Each is YAML alone, or one new file and a few lines of YAML; COSTS has the number of lines. Nothing
that came with the project is edited, and each test asks whether the change took effect, not only
whether training still runs.
"""

import filecmp
import json
import math
import os
import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conftest import QUIET, Ask, Create, Run
from readme import blocks, pages, recipe, section, spans

pytestmark = pytest.mark.slow

# Heading: the most lines of Python and of YAML that a change takes, blank ones left out.
COSTS = {
    "Your images and masks": (0, 7),
    "Your own source": (34, 4),
    "Your own transform": (8, 5),
    "Your model": (12, 3),
    "Your loss": (13, 2),
    "Your optimizer": (13, 6),
    "Groups of parameters": (0, 4),
    "Your schedule": (10, 4),
    "Your metric": (7, 3),
    "Your evaluator": (16, 2),
    "Your tracker": (26, 2),
    "Your callback": (14, 4),
    "Your command": (20, 0),
}

# An optimizer of its own kind, with a state of its own; the pages leave it to their readers.
OPTIMIZERS = {
    "pytorch": '''
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
    "tensorflow": '''
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
TINY = [
    *("train.batch_size=4", "train.max_steps=8", "train.epochs=2", "run.log_every=1"),
    *("executor.precision=fp32", "run.tensorboard=false", "data.workers=0"),
]
SAMPLE = [
    *("data.source.train=16", "data.source.validation=8", "data.source.canvas=32"),
    *("data.source.image_size=32", "data.transforms=[]"),
]
SMALL_MODEL = ["model.widths=[4, 8]"]
STEADY = ["train.schedule=constant"]


class Newcomer:
    """A fresh project, and someone who changes it."""

    def __init__(self, folder: Path, untouched: Path, run: Run) -> None:
        self.folder = folder
        self.pages = pages(folder)
        self._untouched = untouched
        self._run = run

    def shown(self, heading: str) -> dict[str, str]:
        """Return the blocks below a heading by their language."""
        return recipe(self.pages, heading)

    def write(self, path: str, text: str) -> None:
        """Add one file."""
        assert not (self._untouched / path).exists()
        (self.folder / path).write_text(text.lstrip(), encoding="utf-8")

    def write_shown(self, target: str, text: str) -> None:
        """Add the file that a target `module:object` names, with a text that defines it."""
        module, _, name = target.partition(":")
        assert re.search(rf"^(class|def) {name}\b", text, re.MULTILINE)
        self.write(module.replace(".", "/") + ".py", text)

    def call(self, *words: str) -> str:
        """Run a command of main.py; return what it prints."""
        result = self._run(self.folder, "main.py", *words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def train(self, name: str, text: str, *words: str) -> tuple[Path, str]:
        """Train with some YAML; return the run's folder and what was said."""
        (self.folder / "configs" / f"{name}.yaml").write_text(text, encoding="utf-8")
        command = ["train", "--config", f"configs/{name}.yaml", f"run.dir=runs/{name}"]
        result = self._run(self.folder, "main.py", *command, *TINY, *words)
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
    return Newcomer(create(framework=framework), project, run)


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


def stated(text: str, key: str) -> str:
    """Return the target of the example `key: module:object` in a section's text."""
    (target,) = {s.removeprefix(f"{key}: ") for s in spans(text) if s.startswith(f"{key}: ")}
    assert ":" in target
    return target


def first(pages: Mapping[str, str], heading: str, language: str) -> str:
    """Return the first block of a language below a heading."""
    return next(b.text for b in blocks(section(pages, heading)) if b.language == language)


def lines(blocks: Mapping[str, str], language: str) -> int:
    return sum(bool(line.strip()) for line in blocks.get(language, "").splitlines())


@pytest.mark.parametrize("heading", COSTS)
def test_what_a_change_costs(project: Path, heading: str):
    found = blocks(section(pages(project), heading))
    first = {block.language: block.text for block in reversed(found)}
    cost = lines(first, "python"), lines(first, "yaml")
    assert all(size <= most for size, most in zip(cost, COSTS[heading], strict=True)), cost


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
    text = newcomer.shown("Your images and masks")["yaml"]
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
    # Those of the masks where each class has one grey level, else class indices.
    assert set(values) <= ({0, 255} if form == "grey" else {0, 1})


def test_a_new_model(newcomer: Newcomer, run: Run):
    shown = newcomer.shown("Your model")
    text = shown["yaml"]
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
    shown = newcomer.shown("Your metric")
    (target,) = re.findall(r"[\w.]+:\w+(?=[,\]])", shown["yaml"])
    name = target.partition(":")[2]
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
    shown = newcomer.shown("Your loss")
    text = shown["yaml"]
    newcomer.write_shown(re.search(r"loss: (\S+)", text)[1], shown["python"])
    common = [*SAMPLE, *SMALL_MODEL, *STEADY]
    plain, _ = newcomer.train("loss-plain", text, *common, "train.loss.gamma=0")
    # Without focus it is cross-entropy, which is what the other run had.
    assert losses(plain)[0] == pytest.approx(losses(before)[0], rel=1e-4)
    focused, _ = newcomer.train("loss-focused", text, *common)
    assert losses(focused)[0] < losses(before)[0]
    assert read(focused / "metrics.json")["loss"] < read(before / "metrics.json")["loss"]


def test_a_new_kind_of_optimizer(newcomer: Newcomer, framework: str):
    newcomer.write_shown("sign_descent:make", OPTIMIZERS[framework])
    words = [*SAMPLE, *SMALL_MODEL, *STEADY, "train.optimizer.rate=0.01"]
    trained, _ = newcomer.train("optimizer", "train:\n  optimizer: sign_descent:make\n", *words)
    assert rates(trained) == [0.01] * 8
    assert losses(trained)[-1] < losses(trained)[0]
    saved = tensors(newest_checkpoint(trained))
    assert states_by_shape(saved) == weights_by_shape(saved)  # its own state is kept


# How far the encoder's and the other kernels moved between the two newest checkpoints.
MOVED = """
import json, sys
import numpy as np
from pathlib import Path
from safetensors.numpy import load_file

old, new = map(load_file, sorted(Path(sys.argv[1], "checkpoints").glob("*.safetensors"))[-2:])
moved = {True: 0.0, False: 0.0}
for name, weight in new.items():
    if name.startswith("/model/") and weight.ndim == 4:
        is_encoder = name.startswith(("/model/down.", "/model/encoder_"))
        distance = float(np.abs(weight - old[name]).max())
        moved[is_encoder] = max(moved[is_encoder], distance)
print(json.dumps([moved[True], moved[False]]))
"""


@pytest.mark.parametrize("how", ["settings", "file"])
def test_two_groups_of_parameters(newcomer: Newcomer, ask: Ask, how: str):
    if how == "settings":
        text = newcomer.shown("Groups of parameters")["yaml"].replace("rate: 0.1", "rate: 1.0e-9")
    else:
        heading = "Your optimizer"
        target = stated(section(newcomer.pages, heading), "optimizer")
        newcomer.write_shown(target, first(newcomer.pages, heading, "python"))
        text = f"train:\n  optimizer: {{target: {target}, early_rate: 1.0e-9}}\n"
    words = [*SAMPLE, *SMALL_MODEL, *STEADY, "train.checkpoint_every=2"]
    trained, _ = newcomer.train(f"groups-{how}", text, *words)
    encoder, others = ask(newcomer.folder, MOVED, trained)
    assert encoder < 1e-6 < 1e-4 < others


def test_a_new_schedule(newcomer: Newcomer):
    target = stated(section(newcomer.pages, "Your schedule"), "schedule")
    newcomer.write_shown(target, newcomer.shown("Your schedule")["python"])
    text = f"train:\n  schedule: {{target: {target}, to: 0.2}}\n  optimizer: sgd\n"
    words = [*SAMPLE, *SMALL_MODEL, "train.optimizer.learning_rate=0.1"]
    trained, _ = newcomer.train("schedule", text, *words)
    assert rates(trained) == pytest.approx([0.1 * (1 - 0.8 * step / 8) for step in range(8)])


def test_the_framework_s_own_optimizer_and_schedule_by_yaml_alone(
    newcomer: Newcomer, framework: str, before: Path
):
    optimizer, schedule = (
        first(newcomer.pages, heading, "yaml") for heading in ("Your optimizer", "Your schedule")
    )
    text = optimizer + schedule.removeprefix("train:\n")
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


def test_a_new_source_and_a_new_transform(newcomer: Newcomer, ask: Ask):
    source, transform = newcomer.shown("Your own source"), newcomer.shown("Your own transform")
    newcomer.write_shown(re.search(r"target: (\S+)", source["yaml"])[1], source["python"])
    newcomer.write_shown(re.search(r"target: (\S+:\S+)", transform["yaml"])[1], transform["python"])
    text = source["yaml"] + transform["yaml"].removeprefix("data:\n")
    words = ["data.source.count=12", "data.source.image_size=32", *SMALL_MODEL, *STEADY]
    trained, said = newcomer.train("source", text, *words)
    assert "Squares: 12 training, 12 validation samples at 32x32" in said
    truth = [sum(row) for row in read(trained / "report.json")["confusion"]]
    assert truth == [12 * 32 * 32 * 3 / 4, 12 * 32 * 32 / 4]
    code = """
import json, numpy as np
from ops.channels import swap_channels
images = np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3)
fields = swap_channels({"image": images.copy()}, np.array([[0.1] * 4, [0.9] * 4]))
changed = fields["image"]
print(json.dumps([(changed[0] == images[0][..., ::-1]).all().item(), changed[1].tolist()]))
"""
    assert ask(newcomer.folder, code) == [True, [[[6, 7, 8], [9, 10, 11]]]]


def test_a_new_evaluator_a_tracker_and_a_callback(newcomer: Newcomer):
    headings = ("Your evaluator", "Your tracker", "Your callback")
    shown = {heading: first(newcomer.pages, heading, "python") for heading in headings}
    texts = {heading: first(newcomer.pages, heading, "yaml") for heading in headings}
    targets = {h: re.search(r"[\w.]+:[A-Z]\w+", text)[0] for h, text in texts.items()}
    for heading in headings:
        newcomer.write_shown(targets[heading], shown[heading])
    (callback,) = re.findall(r"target: (.*)\n", texts["Your callback"])
    text = texts["Your evaluator"] + texts["Your tracker"].replace("]", f", {callback}]")
    text = text.replace(callback, f"{{target: {callback}, factor: 1.0e-9}}")
    trained, said = newcomer.train("callbacks", text, *SAMPLE, *SMALL_MODEL, *STEADY)

    assert 0 <= read(trained / "metrics.json")["area_error"] <= 1
    written = [row.split(",") for row in (trained / "values.csv").read_text().splitlines()]
    values = {(int(step), name): float(value) for step, name, value in written}
    assert losses(trained) == [values[step, "train/loss"] for step in range(1, 9)]
    for row in rows(trained, "validation"):
        assert values[row["step"], "validation/area_error"] == row["area_error"]
    assert len(re.findall(r"step \d: gradient norm \S+, usually", said)) == 7


def test_a_new_command(newcomer: Newcomer):
    (text,) = newcomer.shown("Your command").values()
    name = re.search(r"python main.py (\w+)", text)[1]
    newcomer.write(f"executor/commands/{name}.py", text)
    assert name in newcomer.call("--help")
    said = newcomer.call(name, "--config", "configs/debug.yaml")
    shares = dict(re.findall(r"^(\w+): (\d\.\d+)$", said, re.MULTILINE))
    assert list(shares) == ["object", "background", "border"]
    assert sum(map(float, shares.values())) == pytest.approx(1, abs=0.002)
    newcomer.check_untouched()


def test_a_trainer_as_in_a_notebook(newcomer: Newcomer, before: Path, ask: Ask):
    text = newcomer.shown("In a notebook")["python"]
    words = [*SAMPLE, *SMALL_MODEL, *STEADY, *TINY, "run.dir=runs/notebook"]
    text = re.sub(r"\[.*\]", str(words), text)
    values = ask(newcomer.folder, f"import json\n{text}\nprint(json.dumps(values))")
    metrics = read(newcomer.folder / "runs" / "notebook" / "metrics.json")
    assert values["mean_iou"] == pytest.approx(metrics["mean_iou"], abs=1e-6)
    assert metrics == read(before / "metrics.json")  # the same as by the command line


# The images and masks of the validation split, predicted in three lines.
PREDICT = """
import json
import numpy as np
from configs.loading import load_config
from dataloader.build import open_source

split = open_source(load_config(None, WORDS).data).split("validation")
samples = [split.read(index) for index in range(len(split))]
images, truth = (np.stack([sample[name] for sample in samples]) for name in ("image", "mask"))
THREE_LINES
right = float((predicted == truth).mean())
large = load("runs/before").predict(images.repeat(2, axis=1))
shares = load("runs/before").probabilities(images)
print(json.dumps([str(predicted.dtype), predicted.shape, right, large.shape, str(shares.dtype),
    shares.shape, float(abs(shares.sum(1) - 1).max()),
    float((shares.argmax(1) == predicted).mean())]))
"""


def test_predictions_as_arrays_in_three_lines(newcomer: Newcomer, before: Path, ask: Ask):
    shown = newcomer.shown("Predictions as arrays")["python"]
    assert lines({"python": shown}, "python") <= 3
    three = shown.replace("runs/default", "runs/before")
    code = PREDICT.replace("THREE_LINES", three).replace("WORDS", str(SAMPLE))
    kind, shape, right, large, float_kind, shares, error, agreed = ask(newcomer.folder, code)
    assert (kind, shape) == ("uint8", [8, 32, 32])
    assert right == pytest.approx(read(before / "metrics.json")["accuracy"], abs=1e-3)
    assert large == [8, 64, 32]
    assert (float_kind, shares) == ("float32", [8, 3, 32, 32])
    assert error < 1e-5
    assert agreed == 1


def test_a_breakpoint_shows_numbers(newcomer: Newcomer, python: Path):
    text = newcomer.shown("Your loss")["python"]
    text, times = re.subn(
        r"^( +)(return WeightedLoss\()", r"\1breakpoint()\n\1\2", text, flags=re.MULTILINE
    )
    assert times == 1
    newcomer.write("ops/looked_at.py", text)
    line = first(newcomer.pages, "Look at a step", "sh")
    command = [*line.split()[1:], "train.loss=ops.looked_at:focal"]
    result = subprocess.run(
        [str(python), *command],
        input="p float(each[0, 0, 0])\nquit\n",
        cwd=newcomer.folder,
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert re.search(r"\(Pdb\) \d+\.\d+\n", result.stdout), result.stdout + result.stderr


def test_the_rules_of_the_project_hold_after_all_this(newcomer: Newcomer, run: Run):
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_architecture.py"]
    result = run(newcomer.folder, *words)
    assert result.returncode == 0, result.stdout
