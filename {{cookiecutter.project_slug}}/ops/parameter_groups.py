"""Groups of parameters that have a learning rate or a weight decay of their own."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.schema import ParameterGroup as Settings
from utils.checks import check
from utils.errors import UserError


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that `adam`, `adamw` and `sgd` (see `ops.optimizers`) update alike."""

    parameters: Sequence[Any]
    """The framework's parameters."""
    rate: float = 1.0
    """Factor of the optimizer's learning rate, greater than 0; a schedule multiplies both."""
    weight_decay: float | None = None
    """Takes the place of the optimizer's own; None: the optimizer's own."""


def as_groups(parameters: Iterable[Any]) -> list[ParameterGroup]:
    """Return groups as they are, and parameters without a group as the only one.

    Raises:
        ValueError: If there are none.
    """
    listed = list(parameters)
    check("parameters", "none", bool(listed), "hold at least one parameter")
    return listed if isinstance(listed[0], ParameterGroup) else [ParameterGroup(listed)]


def split(named: Mapping[str, Any], settings: Sequence[Settings]) -> list[ParameterGroup]:
    """Return the groups of `train.parameter_groups`; a parameter is in the first that matches.

    The parameters are named as in `model.safetensors`.

    Returns:
        First the parameters that nothing matches, which may be none, then the others in the order
        of the settings; with decay by layer a group for each layer.

    Raises:
        UserError: If a pattern matches no parameter, or only some that are in a group already.
    """
    rest, groups = dict(named), []
    for index, setting in enumerate(settings):
        where = f"train.parameter_groups[{index}].match={setting.match}"
        found = {name: match for name in rest if (match := re.search(setting.match, name))}
        if not found and any(re.search(setting.match, name) for name in named):
            raise UserError(
                f"{where} matches only weights that an earlier group has. Put this group before "
                "that one."
            )
        if not found:
            known = ", ".join(named)
            raise UserError(f"{where} matches no weight that is trained. There are: {known}")
        layers = _layers(found, setting, where)
        for number in sorted(set(layers.values())):
            parameters = [rest.pop(name) for name, layer in layers.items() if layer == number]
            rate = setting.rate * (setting.layer_decay or 1.0) ** (max(layers.values()) - number)
            groups.append(ParameterGroup(parameters, rate, setting.weight_decay))
    return [ParameterGroup(list(rest.values())), *groups]


def _layers(found: Mapping[str, re.Match[str]], setting: Settings, where: str) -> dict[str, int]:
    """Return each name's number of the layer; 0 for all without decay by layer."""
    if setting.layer_decay is None:
        return dict.fromkeys(found, 0)
    try:
        return {name: int(match[1]) for name, match in found.items()}
    except (IndexError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} must find the number of the layer for layer_decay: the first parentheses "
            rf"must match digits and nothing else in every name, as in ^blocks\.(\d+)\. "
            f"It matches: {', '.join(found)}"
        ) from error
