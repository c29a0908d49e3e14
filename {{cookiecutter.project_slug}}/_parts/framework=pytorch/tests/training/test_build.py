"""How the parts of a training are made from PyTorch's classes."""

from typing import Any

import pytest
import torch
from torch import nn

from configs.schema import Component
from executor.training.build_functions import make_optimizer


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

    def note(target: str, factory: object, arguments: dict[str, Any], *_: object) -> None:
        given.append(arguments)

    monkeypatch.setattr("executor.training.build_functions.call", note)
    factory = getattr(torch.optim, name)
    on_gpu: list[Any] = [OnGPU()]

    def make(kind: object, parameters: list[Any], **chosen: object) -> None:
        component = Component.model_validate({"target": "a:b", "lr": 0.1, **chosen})
        make_optimizer(component, kind, parameters, True)

    make(factory, on_gpu)
    make(factory, [nn.Parameter(torch.ones(1))])
    make(factory, on_gpu, foreach=True)
    make(factory, on_gpu, fused=False)
    make(torch.optim.RMSprop, on_gpu)
    fused = [arguments.get("fused") for arguments in given]
    assert fused == [True, None, None, False, None]
