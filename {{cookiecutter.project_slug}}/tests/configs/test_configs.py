"""The configuration: what is read, what is refused, and in which words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configs.loading import DEFAULT_CONFIG, load, load_complete, load_config, to_yaml
from configs.schema import CFG
from configs.settings import settings
from configs.show import as_json, resolved, schema
from configs.yaml_text import read_yaml
from utils.errors import UserError
from utils.storage import PROJECT

# Files that are no configuration of a run do not name its schema.
CONFIGS = [
    path
    for path in sorted((PROJECT / "configs").glob("*.yaml"))
    if "$schema=schema.json" in path.read_text(encoding="utf-8").partition("\n")[0]
]


def refused(path: Path | None, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config(None if path is None else str(path), overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_every_file_in_configs_loads(path: Path) -> None:
    assert load_config(str(path)).train.epochs >= 1


def test_schema_file_is_up_to_date() -> None:
    written = (PROJECT / "configs" / "schema.json").read_text(encoding="utf-8")
    assert json.loads(written) == schema(), (
        "run: python main.py config --schema > configs/schema.json"
    )


def test_every_setting_is_documented() -> None:
    definitions = schema()["$defs"]
    for name, section in definitions.items():
        for key, field in section["properties"].items():
            assert field.get("description"), f"{name}.{key} has no line of meaning"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-.5", -0.5),
        ("017", 17),
        ("12:30:00", "12:30:00"),
        ("no", "no"),
        ("2026-01-02", "2026-01-02"),
        ("true", True),
        ("~", None),
        ('"3"', "3"),
        ("0x10", "0x10"),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: object) -> None:
    read = read_yaml(f"a: {text}", "x").values["a"]
    assert read == value
    assert type(read) is type(value)


def test_files_state_only_what_differs_and_the_command_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train:\n  epochs: 3\n  batch_size: 8\n", encoding="utf-8")
    loaded = load(str(path), ["train.batch_size=16", "data.source.image_size=[32, 48]"])
    assert loaded.cfg.train.epochs == 3
    assert loaded.cfg.train.batch_size == 16
    assert loaded.cfg.data.source.arguments["image_size"] == [32, 48]
    assert loaded.cfg.train.optimizer == load_config().train.optimizer
    assert str(loaded.origin(("train", "epochs"))).endswith("mine.yaml:2")
    assert str(loaded.origin(("train", "batch_size"))) == "command line"


def test_another_target_drops_the_arguments_of_the_old_one() -> None:
    same = load_config(None, ["train.optimizer.learning_rate=0.5"]).train.optimizer
    assert same.arguments["learning_rate"] == 0.5
    assert "weight_decay" in same.arguments
    other = load_config(None, ["train.optimizer=sgd", "train.optimizer.momentum=0.9"])
    assert other.train.optimizer.target == "sgd"
    assert other.train.optimizer.arguments == {"momentum": 0.9}
    reversed_order = load_config(None, ["train.optimizer.momentum=0.9", "train.optimizer=sgd"])
    assert reversed_order == other


def test_a_resolved_configuration_reads_back_to_an_equal_one(tmp_path: Path) -> None:
    cfg = load_config(None, ["task.mean=[0.1, 0.2, 0.3]", "train.early_stopping={patience: 2}"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(cfg), encoding="utf-8")
    assert load_complete(str(path)) == cfg


def test_shown_configuration_is_yaml_with_origins() -> None:
    text = resolved(None, ["train.epochs=2"])
    assert CFG.model_validate(yaml.safe_load(text)).train.epochs == 2
    line = next(line for line in text.splitlines() if line.strip().startswith("epochs:"))
    assert line.endswith("# command line")
    assert "# built-in default" in text
    assert "default.yaml:" in text


def test_all_problems_stand_in_one_message_with_file_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(
        "train:\n"
        "  epochs: ten\n"
        "  optimizer:\n"
        "    learning_rat: 1e-3\n"
        "  accumulate: 5\n"
        "data:\n"
        "  workers: 64\n"
        "  workers: 96\n"
        "executor:\n"
        "  precisin: bf16\n"
        "  device: cpu\n",
        encoding="utf-8",
    )
    message = refused(path, "executor.precision=fp16", "model.target=model.layerz:Net", "run.seed")
    for expected in (
        "8 problems",
        "broken.yaml:2: train.epochs: expected a whole number, received 'ten'",
        "broken.yaml:4: train.optimizer.learning_rat: adamw has no argument 'learning_rat'; "
        "did you mean 'learning_rate'?",
        "broken.yaml:5: train.accumulate: 5 does not divide train.batch_size",
        "broken.yaml:8: data.workers: this key stands here twice (first in line 7)",
        "broken.yaml:10: executor.precisin: unknown key 'precisin'; did you mean 'precision'?",
        "command line: executor.precision: fp16 needs a GPU",
        "command line: model.target: unknown target 'model.layerz:Net': there is no module "
        "'layerz' in 'model'; did you mean 'model.layers'?",
        "command line: expected key.path=value, received 'run.seed'",
    ):
        assert expected in message, message


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.epochs=0"], "expected at least 1, received 0"),
        (["train.epochs=2.5"], "expected a whole number, received 2.5"),
        (["train.clip_norm=-1"], "expected greater than 0"),
        (["run.tensorboard=yes"], "expected true or false, received 'yes'"),
        (["executor.device=tpu"], "expected one of 'auto', 'cpu', 'cuda' or 'mps'"),
        (["executor.compile=perhaps"], "expected true or false, received 'perhaps'"),
        (["executor.device=cpu", "executor.tf32=false"], "only CUDA has it"),
        (
            ["train.monitor=loss", "train.monitor_mode=max"],
            "the lowest loss is the best; set it to min",
        ),
        (
            ["task.std=wide"],
            "evaluation.task:Task expects float | Sequence[float], received 'wide'",
        ),
        (["data.source.image_size=sixty"], "data.source.image_size"),
        (["train=3"], "expected keys below it"),
        (["train.loss=cross_entropi"], "did you mean 'cross_entropy'?"),
        (["train.optimizer.learning_rate=fast"], "adamw expects float, received 'fast'"),
        (["model.widths=64"], " expects Sequence[int], received 64"),
        (["model.widths=[16, 2.5]"], "expects Sequence[int]"),
        (["model=utils.names:resolve"], "utils.names:resolve needs the argument 'target'"),
        (["train.epochs=[1"], "cannot be read"),
        (["train.epochs=3 # of many"], "a # begins a comment in YAML"),
        (["run.dir=*elsewhere"], "begins with '*' needs quotes"),
        (["train.epochs.x=1"], "expected a whole number"),
        (["=1"], "expected key.path=value"),
    ],
)
def test_bad_overrides_are_refused(overrides: list[str], expected: str) -> None:
    assert expected in refused(None, *overrides)


def test_an_unknown_task_makes_nothing_else_wrong() -> None:
    message = refused(None, "task=evaluation.tusk:Task")
    assert "the configuration has 1 problem:" in message
    assert "task.target: unknown target 'evaluation.tusk:Task'" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- a\n- b\n", "received a list"),
        ("train: [1\n", "this is not valid YAML"),
        ("train: !!python/object/apply:os.system [echo]\n", "os.system is not allowed"),
        ("train: &a\n  epochs: *a\n", "contains itself"),
        ("? [a, b]\n: 1\n", "a key must be a plain word"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    assert expected in refused(path)


def test_missing_file() -> None:
    assert "no-such.yaml: the file cannot be read" in refused(Path("no-such.yaml"))


def test_showing_a_configuration_imports_no_framework() -> None:
    code = (
        "import sys; from configs.show import resolved; resolved(None, ['model=nowhere:Model']);"
        "heavy = {'torch', 'tensorflow', 'numpy', 'sklearn', 'matplotlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("width", [60, 100])
def test_the_help_lists_every_setting_in_the_terminal_s_width(width: int) -> None:
    lines = settings(width).splitlines()
    assert all(len(line) <= width for line in lines[1:])
    text = "\n".join(lines)
    described = schema()
    for section in ("run", "data", "train", "executor"):
        for key in described["$defs"][section.title()]["properties"]:
            assert f"  {section}.{key}" in text
    assert "\n  train.epochs: whole number at least 1; default 8\n      Passes over the" in text
    words = " ".join(text.split())
    assert " executor.device: auto, cpu, cuda, mps; default auto auto: a GPU" in words
    assert " train.early_stopping.patience: whole number at least 1; required Eval" in words
    assert " train.optimizer: name or target; default adamw `adam`" in words


def test_other_programs_get_the_values_and_their_origins() -> None:
    shown = json.loads(as_json(None, ["train.epochs=2"]))
    assert shown["values"] == load_config(None, ["train.epochs=2"]).model_dump(mode="json")
    assert shown["origins"]["train.epochs"] == "command line"
    assert shown["origins"]["run.deterministic"] == "built-in default"


def test_default_file_is_the_base(tmp_path: Path) -> None:
    assert load_config(DEFAULT_CONFIG) == load_config()


def test_merge_keys_are_named(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text("base: &base\n  epochs: 3\ntrain:\n  <<: *base\n", encoding="utf-8")
    message = refused(path)
    assert "merged.yaml:4: train: merge keys (<<) are not read; write out" in message
