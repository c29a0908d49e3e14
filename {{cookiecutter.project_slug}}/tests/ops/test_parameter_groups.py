"""Which weights a group gets, and what is refused. Their updates: tests/ops/test_optimizers.py."""

from typing import Any

import pytest

from configs.schema import ParameterGroup as Settings
from ops.parameter_groups import ParameterGroup, as_groups, split
from utils.errors import UserError

NAMED = {name: name.upper() for name in ("stem", "layer_0/w", "layer_0/b", "layer_10/w", "head")}


def groups(*settings: dict[str, Any]) -> list[ParameterGroup]:
    return split(NAMED, [Settings(**setting) for setting in settings])


def test_a_weight_is_in_the_first_group_that_matches() -> None:
    assert groups({"match": "b$|head", "weight_decay": 0.0}, {"match": "^layer", "rate": 0.1}) == [
        ParameterGroup(["STEM"]),
        ParameterGroup(["LAYER_0/B", "HEAD"], 1.0, 0.0),
        ParameterGroup(["LAYER_0/W", "LAYER_10/W"], 0.1),
    ]


def test_without_groups_all_are_together() -> None:
    assert groups() == [ParameterGroup(list(NAMED.values()))]
    assert groups({"match": "."})[0] == ParameterGroup([])


def test_decay_by_layer_counts_from_the_last_layer() -> None:
    decay = {"match": r"^layer_(\d+)/", "rate": 0.5, "layer_decay": 0.5, "weight_decay": 0.1}
    assert groups(decay) == [
        ParameterGroup(["STEM", "HEAD"]),
        ParameterGroup(["LAYER_0/W", "LAYER_0/B"], 0.5 * 0.5**10, 0.1),
        ParameterGroup(["LAYER_10/W"], 0.5, 0.1),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([{"match": "^encoder"}], r"\[0\].match=\^encoder matches no weight.*: stem, layer_0/w, "),
        ([{"match": "layer"}, {"match": "w$"}], r"\[1\].match=w\$ matches only weights"),
        ([{"match": "layer", "layer_decay": 0.5}], r"number of the layer.*layer_0/w"),
        ([{"match": "^(.*)w", "layer_decay": 0.5}], r"number of the layer"),
        ([{"match": r"stem|_(\d+)", "layer_decay": 0.5}], r"number of the layer"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(settings: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        groups(*settings)


def test_parameters_are_a_group_of_their_own() -> None:
    assert as_groups(iter("ab")) == [ParameterGroup(["a", "b"])]
    assert as_groups([ParameterGroup(["a"], 2.0)]) == [ParameterGroup(["a"], 2.0)]
    with pytest.raises(ValueError, match="at least one parameter"):
        as_groups([])
