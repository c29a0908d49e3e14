"""How optimizers are made from PyTorch's classes."""

from typing import Any

import pytest
import torch
from torch import nn

from configs.schema import Component
from executor.training.build_functions import foreign_arguments, make_optimizer
from ops.parameter_groups import ParameterGroup
from utils.errors import UserError


class OnGPU:
    """What a choice of kernels looks at in a parameter on a GPU."""

    device = torch.device("cuda", 0)

    def is_floating_point(self) -> bool:
        return True


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad"])
def test_pytorchs_own_optimizers_have_one_kernel_on_gpus(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given: list[dict[str, Any]] = []

    def note(
        target: str, factory: object, arguments: dict[str, Any], *_: object, offered: object
    ) -> None:
        given.append(arguments)

    monkeypatch.setattr("executor.training.build_functions.call", note)
    factory = getattr(torch.optim, name)
    on_gpu: list[Any] = [OnGPU()]

    def make(kind: object, parameters: list[Any], **chosen: object) -> None:
        component = Component.model_validate({"target": "a:b", "lr": 0.1, **chosen})
        make_optimizer(component, kind, parameters, [parameters], {})

    make(factory, on_gpu)
    make(factory, [nn.Parameter(torch.ones(1))])
    make(factory, on_gpu, foreach=True)
    make(factory, on_gpu, fused=False)
    make(torch.optim.RMSprop, on_gpu)
    fused = [arguments.get("fused") for arguments in given]
    assert fused == [True, None, None, False, None]


def in_groups(kind: Any, weight_decay: float | None = None) -> torch.optim.Optimizer:
    one, two = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    groups = [ParameterGroup([one]), ParameterGroup([two], 0.1, weight_decay)]
    component = Component.model_validate({"target": "a:b", "lr": 0.5})
    given = foreign_arguments("a:b", kind, groups)
    made: torch.optim.Optimizer = make_optimizer(component, kind, [one, two], given, {})
    return made


def test_classes_of_pytorchs_kind_take_groups() -> None:
    first, second = in_groups(torch.optim.RMSprop, 0.25).param_groups
    assert (first["lr"], first["weight_decay"]) == (0.5, 0.0)
    assert (second["lr"], second["weight_decay"]) == (0.5 * 0.1, 0.25)
    assert "rate" not in second


def test_a_decay_that_a_class_does_not_have_is_refused() -> None:
    in_groups(torch.optim.Rprop)
    with pytest.raises(UserError, match="has no weight_decay"):
        in_groups(torch.optim.Rprop, 0.25)


def test_a_function_that_takes_parameters_gets_no_groups() -> None:
    groups = [ParameterGroup([nn.Parameter(torch.ones(1))])]
    [given] = foreign_arguments("my:sgd", lambda parameters: None, groups)
    assert given == groups[0].parameters
    with pytest.raises(UserError, match="Let my:sgd take `named_parameters`"):
        foreign_arguments("my:sgd", lambda parameters: None, [*groups, *groups])
