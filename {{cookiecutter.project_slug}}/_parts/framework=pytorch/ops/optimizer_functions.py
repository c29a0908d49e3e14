"""What the optimizers and schedules with a plain name are in PyTorch."""

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.lr_scheduler import LRScheduler as Schedule

from ops.parameter_groups import ParameterGroup

__all__ = ["Optimizer", "Parameter", "Schedule"]

# Where PyTorch has one kernel for the whole update; elsewhere its own choice is taken.
_FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})


def adam_optimizer(
    groups: Sequence[ParameterGroup],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float | None = None,
) -> Optimizer:
    """Return Adam, or AdamW if there is a weight decay; see `ops.optimizers`."""
    kind = torch.optim.Adam if weight_decay is None else torch.optim.AdamW
    rows = _torch_groups(groups, learning_rate, weight_decay or 0.0)
    return _build(kind, rows, lr=learning_rate, betas=(beta1, beta2), eps=epsilon)


def sgd_optimizer(
    groups: Sequence[ParameterGroup],
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Optimizer:
    """Return stochastic gradient descent; see `ops.optimizers`."""
    rows = _torch_groups(groups, learning_rate, weight_decay)
    return _build(torch.optim.SGD, rows, lr=learning_rate, momentum=momentum, nesterov=nesterov)


def scheduled(optimizer: Optimizer, factor: Callable[[int], float]) -> Schedule:
    """Return a `LambdaLR`, to be stepped once after every update. Its state is plain numbers.

    `factor` maps the number of an update, counted from 0, to the factor of its rate.
    """
    return LambdaLR(optimizer, factor)


def initial_rate(optimizer: Optimizer) -> float:
    """Return the learning rate that a new optimizer was given, that of its first group."""
    return float(optimizer.param_groups[0]["lr"])


def _torch_groups(
    groups: Sequence[ParameterGroup], learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return PyTorch's groups, with those parameters apart that are not decayed.

    The first stays even if it is empty, since its rate is the one that is reported.
    """
    rows = []
    for group in groups:
        decay = weight_decay if group.weight_decay is None else group.weight_decay
        decayed = [p for p in group.parameters if p.ndim > 1 or not decay]
        kept = [p for p in group.parameters if p.ndim <= 1 and decay]
        rate = learning_rate * group.rate
        rows += [
            {"params": decayed, "lr": rate, "weight_decay": decay},
            {"params": kept, "lr": rate, "weight_decay": 0.0},
        ]
    return [row for i, row in enumerate(rows) if row["params"] or i == 0]


def _build(kind: type[Optimizer], groups: list[dict[str, Any]], **settings: Any) -> Optimizer:
    parameters = [parameter for group in groups for parameter in group["params"]]
    fused = all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in parameters)
    if kind is torch.optim.SGD and any(hasattr(p, "full_tensor") for p in parameters):
        fused = False  # PyTorch's kernel does not know parameters that are spread over processes
    optimizer: Optimizer = _without_compiler(kind)(groups, fused=fused or None, **settings)
    return optimizer


def _without_compiler(kind: type[Optimizer]) -> Any:
    """Return a subclass whose methods are the functions below PyTorch's layers around them.

    The layers for `torch.compile` import `torch._dynamo` on the first call, which takes a third of
    the CPU time from the start of a training to its first step (1.32 of a script by hand, 0.87
    without them). The layer for hooks and profiles takes a fifth of a small model's update, so it
    is gone through only where there are any. The bits are the same.
    """
    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    bare = torch.no_grad()(inspect.unwrap(kind.step))
    hooked = kind.profile_hook_step(bare)

    def step(self: Optimizer, closure: Callable[[], float] | None = None) -> Any:
        return (hooked if _is_watched(self) else bare)(self, closure)

    step.hooked = True  # type: ignore[attr-defined]  # or PyTorch puts its layer on again
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**methods, "step": step})


def _is_watched(optimizer: Optimizer) -> bool:
    """Return whether a hook or a profiler waits for the steps of an optimizer; if unsure, yes."""
    module = sys.modules[Optimizer.__module__]
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or getattr(module, "_global_optimizer_pre_hooks", True)
        or getattr(module, "_global_optimizer_post_hooks", True)
        or getattr(torch.autograd.profiler, "_is_profiler_enabled", True)
    )
