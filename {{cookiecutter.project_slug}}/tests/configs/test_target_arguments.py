"""Arguments that a configuration gives to an object by name, held to the object's signature."""

from pathlib import Path

import pytest

from configs.loading import load_config
from utils.errors import UserError

CODE = """
from __future__ import annotations
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Optional

import numpy as np

if TYPE_CHECKING:
    from nowhere import Unknown

class Ours: ...

def real(x: float): ...
def whole(x: int): ...
def yes(x: bool): ...
def text(x: str | None): ...
def sequence(x: Sequence[int]): ...
def pair(x: tuple[int, int]): ...
def choice(x: float | Literal["test"]): ...
def maybe(x: Optional[int]): ...
def mapping(x: dict[str, int]): ...
def ours(x: Ours): ...
def array(x: np.ndarray | float): ...
def unknown(x: Unknown): ...
def plain(x): ...

@dataclass
class Data:
    x: int
    y: str = "a"

class Child(Data): ...

def passed(first, second, /, x: int = 1, *, key, **more: Any): ...
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with functions and classes whose signatures differ."""
    (tmp_path / "with_arguments.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "with_arguments"


def problems(target: str, **arguments: str) -> str:
    """Return what is said of a loss with this target; "" if nothing is wrong."""
    words = [f"train.loss={target}", *(f"train.loss.{k}={v}" for k, v in arguments.items())]
    try:
        load_config(None, words)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "fitting", "others"),
    [
        ("real", ["1", "1.5"], ["true", "'1'", "null", "[1]"]),
        ("whole", ["1", "-1"], ["true", "1.5", "'1'", "null"]),
        ("yes", ["true", "false"], ["0", "1", "yes", "null"]),
        ("text", ["a", "null"], ["1", "[a]"]),
        ("sequence", ["[]", "[1, 2]"], ["1", "'12'", "[1.5]", "null"]),
        ("pair", ["[1, 2]"], ["1", "[1]", "[1, a]", "null"]),
        ("choice", ["0.5", "test"], ["other", "null"]),
        ("maybe", ["1", "null"], ["a"]),
        ("mapping", ["{a: 1}"], ["{a: b}", "1"]),
        ("Data", ["1"], ["a"]),
        ("Child", ["1"], ["a"]),
        ("ours", ["1", "a", "null", "[1]"], []),
        ("array", ["1", "[1]"], []),
        ("unknown", ["1", "a"], []),
        ("plain", ["1", "a"], []),
    ],
)
def test_values_are_held_to_annotations(
    module: str, name: str, fitting: list[str], others: list[str]
) -> None:
    target = f"{module}:{name}"
    for value in fitting:
        assert problems(target, x=value) == ""
    for value in others:
        assert f"command line: train.loss.x: {target} expects " in problems(target, x=value)


def test_unknown_and_missing_arguments_are_named(module: str) -> None:
    message = problems(f"{module}:Data", z="1")
    assert "Data has no argument 'z'. It takes: x, y" in message
    assert "train.loss: with_arguments:Data needs the argument 'x'" in message
    assert "needs the argument 'key'" in problems(f"{module}:passed", x="2", other="3")
    assert "has no argument 'y'" in problems(f"{module}:plain", x="1", y="1")


def test_what_cannot_be_called_is_no_target(module: str) -> None:
    assert "is no class or function" in problems(f"{module}:TYPE_CHECKING")


def test_an_error_in_a_user_s_module_is_one_problem_among_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unfinished.py").write_text("def model(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as caught:
        load_config(None, ["model=unfinished:model", "train.epochs=ten"])
    message = str(caught.value)
    assert "2 problems" in message
    assert "command line: model.target: module 'unfinished' cannot be imported: Synt" in message
    assert "unfinished.py:1)" in message
