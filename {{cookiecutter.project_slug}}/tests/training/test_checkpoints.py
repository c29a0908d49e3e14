"""Checkpoints: whole or not there, verified, pruned, and nothing but tensors and plain values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from executor.checkpoints import checkpoint
from executor.devices.tensors import Tensor, read_tensors
from utils.errors import UserError


@pytest.fixture
def tensor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that makes a tensor of the framework."""
    path = tmp_path_factory.mktemp("tensors") / "x.safetensors"

    def make(values: float | list[float]) -> Tensor:
        path.write_bytes(save({"x": np.array(values, np.float32)}))
        return read_tensors(path)["x"]

    return make


def test_checkpoints_hold_plain_values_and_nothing_else(tmp_path: Path, tensor: Any) -> None:
    state: dict[str, Any] = {
        "a": tensor([0.0, 1.0, 2.0]),
        "b": [1, 2.5, None, True, "x"],
        "c": {7: {}},
    }
    checkpoint.save(tmp_path, 1, state)
    loaded = checkpoint.load(tmp_path, 1)
    assert loaded["a"].tolist() == [0.0, 1.0, 2.0]
    assert loaded["b"] == state["b"]
    assert loaded["c"] == {7: {}}
    with pytest.raises(UserError, match="/d is a set"):
        checkpoint.save(tmp_path, 2, {"d": {1}})
    assert checkpoint.steps(tmp_path) == [1]


def test_who_may_read_other_files_may_read_checkpoints(tmp_path: Path, tensor: Any) -> None:
    (tmp_path / "other").touch()
    checkpoint.save(tmp_path, 1, {"x": tensor(1.0)})
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1


def test_old_checkpoints_go_but_the_best_stays(tmp_path: Path, tensor: Any) -> None:
    for step in range(1, 6):
        checkpoint.save(tmp_path, step, {"x": tensor(step)})
    checkpoint.prune(tmp_path, keep=2, best=2)
    assert checkpoint.steps(tmp_path) == [2, 4, 5]
    assert len(list(tmp_path.iterdir())) == 6


def test_what_a_killed_process_left_goes(tmp_path: Path, tensor: Any) -> None:
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"x": tensor(step)})
    whole = {file.name for file in tmp_path.iterdir() if "3" in file.name}
    (tmp_path / "step-00000001.json").unlink()  # killed while it removed this one
    (tmp_path / "step-00000004.77.tmp").touch()  # killed while it wrote the next
    (tmp_path / "step-00000004.json.77.tmp").touch()
    checkpoint.prune(tmp_path, keep=1, best=None)
    assert {file.name for file in tmp_path.iterdir()} == whole


def test_when_no_checkpoint_is_whole_it_says_so(tmp_path: Path, tensor: Any) -> None:
    checkpoint.save(tmp_path, 1, {"x": tensor(1)})
    (tmp_path / "step-00000001.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="none of the 1 checkpoints is whole"):
        checkpoint.load_newest(tmp_path)
    assert checkpoint.load_newest(tmp_path / "nothing") is None
