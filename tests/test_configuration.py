"""Mistakes in the configuration, made as a user makes them: on the command line, in a YAML file."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from conftest import Run, in_one_framework

# How targets of a framework are looked up, the tests in a project hold.
pytestmark = in_one_framework

# All that showing a configuration may import beside the modules of Python itself: anything more
# makes people wait. How long it takes is measured in benchmarks/ (suite "answers").
CHECKS = {"configs", "executor", "utils", "yaml", "pydantic", "pydantic_core"}
CHECKS |= {"annotated_types", "typing_extensions", "typing_inspection"}  # which pydantic needs
STARTS_PYTHON = {"sitecustomize", "org"}  # tried by Python itself, if there


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    message: str
    imported: set[str]
    """The packages that were imported and are not Python's own."""


def outcome(run: Run, project: Path, folder: Path, *words: str) -> Outcome:
    """Run `main.py` in a folder and take apart what it said."""
    result = run(folder, "-X", "importtime", str(project / "main.py"), *words)
    lines = result.stderr.splitlines()
    imports = [line for line in lines if line.startswith("import time:")]
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in imports}
    public = {name for name in modules if name.isidentifier() and not name.startswith("_")}
    own = public - sys.stdlib_module_names - STARTS_PYTHON
    message = "\n".join(line for line in lines if line not in set(imports))
    return Outcome(result.returncode, message, own)


def refused(run: Run, project: Path, folder: Path, *words: str) -> Outcome:
    """Run `main.py train`, which is to refuse what it is given."""
    return outcome(run, project, folder, "train", *words)


def all_files(*folders: Path) -> set[Path]:
    """List what is in some folders, but for the bytecode that Python keeps."""
    return {f for folder in folders for f in folder.rglob("*") if "__pycache__" not in f.parts}


# Each: the lines of the YAML file (None: no file), words of the command line, and how the message
# must begin after "FILE:LINE: " (or "command line: ").
BROKEN = {
    "misspelt key at depth three": (
        ["train:", "  optimizer:", "    target: adamw", "    learning_rat: 1e-3"],
        [],
        "bad.yaml:4: train.optimizer.learning_rat: adamw has no argument 'learning_rat'; "
        "did you mean 'learning_rate'?",
    ),
    "misspelt key of the schema at depth three": (
        ["train:", "  early_stopping:", "    patience: 3", "    min_dleta: 0.1"],
        [],
        "bad.yaml:4: train.early_stopping.min_dleta: unknown key 'min_dleta'; "
        "did you mean 'min_delta'?",
    ),
    "wrong type": (
        ["train:", "  epochs: many"],
        [],
        "bad.yaml:2: train.epochs: expected a whole number, received 'many'",
    ),
    "duplicate key": (
        ["train:", "  epochs: 3", "  batch_size: 8", "  epochs: 5"],
        [],
        "bad.yaml:4: train.epochs: this key stands here twice (first in line 2); keep one",
    ),
    "out of range": (
        ["data:", "  workers: 2", "train:", "  ema_decay: 1.5"],
        [],
        "bad.yaml:4: train.ema_decay: expected less than 1.0, received 1.5",
    ),
    "impossible pair": (
        ["train:", "  batch_size: 10", "  accumulate: 4"],
        [],
        "bad.yaml:3: train.accumulate: 4 does not divide train.batch_size=10",
    ),
    "unknown target": (
        ["model:", "  target: model.unet:UNett"],
        [],
        "bad.yaml:2: model.target: unknown target 'model.unet:UNett': module 'model.unet' has no "
        "'UNett'; did you mean 'UNet'?",
    ),
    "unknown plain name": (
        ["train:", "  loss: cros_entropy"],
        [],
        "bad.yaml:2: train.loss.target: unknown name 'cros_entropy'; did you mean 'cross_entropy'?",
    ),
    "wrong argument for a target": (
        ["model:", "  target: model.unet:UNet", "  widhts: [4, 8]"],
        [],
        "bad.yaml:3: model.widhts: model.unet:UNet has no argument 'widhts'; "
        "did you mean 'widths'?",
    ),
    "missing argument for a target": (
        ["train:", "  schedule:", "    target: step"],
        [],
        "bad.yaml:2: train.schedule: step needs the argument 'milestones'",
    ),
    "missing file": (
        None,
        ["--config", "no-such.yaml"],
        "no-such.yaml: the file cannot be read (No such file or directory)",
    ),
    "bad override": (
        None,
        ["train.epochs=none"],
        "command line: train.epochs: expected a whole number, received 'none'",
    ),
    "override without a value": (
        None,
        ["train.epochs"],
        "command line: expected key.path=value, received 'train.epochs'",
    ),
    "empty YAML": ([], [], "bad.yaml: the file is empty"),
    "YAML that is none": (
        ["train:", "  epochs: [3"],
        [],
        "bad.yaml:3: this is not valid YAML",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_is_refused_in_one_message(project: Path, run: Run, tmp_path: Path, case: str):
    lines, words, expected = BROKEN[case]
    if lines is not None:
        (tmp_path / "bad.yaml").write_text("".join(f"{line}\n" for line in lines))
        words = ["--config", "bad.yaml", *words]
    before = all_files(project, tmp_path)
    refusal = refused(run, project, tmp_path, *words)
    assert refusal.code == 2
    assert refusal.message.startswith("error: ")
    assert expected in refusal.message
    assert "Traceback" not in refusal.message
    assert len(refusal.message.splitlines()) <= 2  # how many there are, and the one
    assert all_files(project, tmp_path) == before


def test_all_mistakes_of_a_file_and_the_command_line_stand_in_one_message(
    project: Path, run: Run, tmp_path: Path
):
    text = """\
        run:
          dri: runs/mine
        data:
          workers: -1
          workers: 2
          transforms: [{target: flop}]
        model:
          target: model.unet:UNet
          depth: 3
        train:
          epochs: "3"
          accumulate: 5
          optimizer: adan
        executor:
          precison: fp32
          precision: fp16
          device: cpu
    """
    (tmp_path / "bad.yaml").write_text(re.sub("^ {8}", "", text, flags=re.MULTILINE).rstrip(" "))
    words = ["--config", "bad.yaml", "train.batch_size=0.5", "executor.compile=perhaps"]
    refusal = refused(run, project, tmp_path, *words)
    named = re.findall(r"^  (\S+:\d+|command line): (\S+): ", refusal.message, re.MULTILINE)
    assert named == [
        ("bad.yaml:2", "run.dri"),
        ("bad.yaml:4", "data.workers"),
        ("bad.yaml:5", "data.workers"),
        ("bad.yaml:6", "data.transforms.0.target"),
        ("bad.yaml:9", "model.depth"),
        ("bad.yaml:11", "train.epochs"),
        ("bad.yaml:12", "train.accumulate"),
        ("bad.yaml:13", "train.optimizer.target"),
        ("bad.yaml:15", "executor.precison"),
        ("bad.yaml:16", "executor.precision"),
        ("command line", "train.batch_size"),
        ("command line", "executor.compile"),
    ]
    assert refusal.message.startswith("error: the configuration has 12 problems:\n")
    assert refusal.code == 2


def test_the_traceback_is_there_for_those_who_ask(project: Path, run: Run, tmp_path: Path):
    refusal = refused(run, project, tmp_path, "--debug", "train.epochs=none")
    assert refusal.code == 2
    assert refusal.message.startswith("Traceback")


@pytest.mark.parametrize(
    ("words", "imported"),
    [(["--help"], {"executor", "utils"}), (["train", "--help"], CHECKS), (["config"], CHECKS)],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_configuration_import_little(
    project: Path, run: Run, words: list[str], imported: set[str]
):
    shown = outcome(run, project, project, *words)
    assert shown.code == 0, shown.message
    assert "utils" in shown.imported
    assert shown.imported <= imported


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield (key path, value) of everything below."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def test_config_shows_every_value_and_where_it_comes_from(project: Path, run: Run, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("train:\n  optimizer: sgd\n  epochs: 3\n")
    words = ["config", "--config", "mine.yaml", "train.batch_size=16", "run.dir=runs/3.10"]
    result = run(tmp_path, str(project / "main.py"), *words)
    assert result.returncode == 0, result.stderr
    values = dict(leaves(yaml.safe_load(result.stdout)))
    origins = {
        line.split("#")[0].strip(): line.split("# ")[1]
        for line in result.stdout.splitlines()
        if "# " in line
    }
    assert len(origins) == len(values)
    assert values["train.epochs"] == 3
    assert origins["epochs: 3"] == "mine.yaml:3"
    assert values["train.optimizer.target"] == "sgd"
    assert "train.optimizer.learning_rate" not in values  # that was the default optimizer's
    assert origins["target: sgd"] == "mine.yaml:2"
    assert values["train.batch_size"] == 16
    assert origins["batch_size: 16"] == "command line"
    assert values["run.dir"] == "runs/3.10"
    assert origins["seed: 0"].endswith("configs/default.yaml:9")
    assert origins["clip_norm: null"] == "built-in default"


def test_what_config_shows_is_a_configuration(project: Path, run: Run, tmp_path: Path):
    first = run(project, "main.py", "config", "--config", "configs/oxford_pets.yaml")
    (tmp_path / "all.yaml").write_text(first.stdout)
    again = run(project, "main.py", "config", "--config", str(tmp_path / "all.yaml"))
    assert again.returncode == 0, again.stderr
    assert yaml.safe_load(again.stdout) == yaml.safe_load(first.stdout)
