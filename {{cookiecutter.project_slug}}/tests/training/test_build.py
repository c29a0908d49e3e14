"""How an optimizer is built: one of one's own, and weights that learn otherwise than the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from configs.loading import load_config
from dataloader.build import open_source
from executor.devices.device import Device
from executor.inference.build import build_task
from executor.training.build import build_state
from executor.training.state import TrainState
from main import main
from ops.optimizer_functions import initial_rate
from utils.errors import UserError
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")

TINY = str(PROJECT / "tests" / "tiny.yaml")
HEAD = "train.parameter_groups=[{match: ^head, rate: 10, weight_decay: 0.0}]"
# What a user writes; the same lines for both frameworks.
MINE = """
from ops.optimizers import adamw, sgd
from ops.parameter_groups import ParameterGroup

def groups(named_parameters, learning_rate=0.01):
    head = [p for name, p in named_parameters if name.startswith("head")]
    rest = [p for name, p in named_parameters if not name.startswith("head")]
    groups = [ParameterGroup(rest), ParameterGroup(head, rate=10.0, weight_decay=0.0)]
    return adamw(groups, learning_rate=learning_rate)

seen = []

def watching(model, named_parameters):
    seen.append(model)
    return sgd([p for _, p in named_parameters])
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"mine_{tmp_path.name}"  # a module is imported once
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def state_of(*words: str) -> TrainState:
    cfg = load_config(TINY, ["executor.device=cpu", *words])
    source = open_source(cfg.data)
    return build_state(cfg, source, build_task(cfg, source), 10, Device(cfg))


def train(run: Path, *words: str) -> list[float]:
    """Return the losses of a run's steps."""
    main(["train", "--config", TINY, f"run.dir={run}", "run.tensorboard=false", *words])
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [row["loss"] for row in map(json.loads, lines) if row["split"] == "train"]


def test_groups_of_ones_own_equal_those_of_the_settings(tmp_path: Path, mine: str) -> None:
    own = train(tmp_path / "own", f"train.optimizer={mine}:groups")
    settings = train(
        tmp_path / "settings", "train.optimizer={target: adamw, learning_rate: 0.01}", HEAD
    )
    alone = train(tmp_path / "alone", "train.optimizer={target: adamw, learning_rate: 0.01}")
    assert own == settings
    assert own[0] == alone[0]
    assert own[1] != alone[1]


def test_an_optimizer_may_take_the_model(mine: str) -> None:
    state = state_of(f"train.optimizer={mine}:watching")
    module: Any = __import__(mine)
    assert module.seen == [state.model]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((HEAD, "train.optimizer=MINE:groups"), "takes named_parameters or model"),
        ((HEAD, "train.optimizer=adam"), "no weight decay"),
        (("train.parameter_groups=[{match: ^nothing}]",), "There are: .*head"),
    ],
)
def test_groups_that_cannot_be_are_refused(mine: str, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        state_of(*(word.replace("MINE", mine) for word in words))


def test_the_reported_rate_is_the_configured_one() -> None:
    everything = "train.parameter_groups=[{match: ., rate: 0.5}]"
    sgd = "train.optimizer={target: sgd, learning_rate: 0.25}"
    state = state_of(everything, sgd, "train.schedule=constant")
    assert initial_rate(state.optimizer) == 0.25
