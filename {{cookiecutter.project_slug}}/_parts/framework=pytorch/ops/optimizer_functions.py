"""What the optimizers and schedules with a plain name are in PyTorch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.lr_scheduler import LRScheduler as Schedule

from ops.stepping import without_compiler

__all__ = [
    "Optimizer",
    "Parameter",
    "Schedule",
    "adam_optimizer",
    "initial_rate",
    "scheduled",
    "sgd_optimizer",
]

# Where PyTorch has one kernel for the whole update; elsewhere its own choice is taken.
_FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})


def adam_optimizer(
    parameters: Sequence[Parameter],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float | None = None,
) -> Optimizer:
    """Return Adam, or AdamW if there is a weight decay; see `ops.optimizers`."""
    factory = torch.optim.Adam if weight_decay is None else torch.optim.AdamW
    groups = _groups(parameters, weight_decay or 0.0)
    return _build(factory, groups, learning_rate, betas=(beta1, beta2), eps=epsilon)


def sgd_optimizer(
    parameters: Sequence[Parameter],
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Optimizer:
    """Return stochastic gradient descent; see `ops.optimizers`."""
    groups = _groups(parameters, weight_decay)
    return _build(torch.optim.SGD, groups, learning_rate, momentum=momentum, nesterov=nesterov)


def scheduled(optimizer: Optimizer, factor: Callable[[int], float]) -> Schedule:
    """Return a `LambdaLR`, to be stepped once after every update. Its state is plain numbers.

    Args:
        optimizer: Whose learning rate is scheduled.
        factor: From the number of an update, counted from 0, to the factor of its rate.
    """
    return _Scheduled(optimizer, factor)


class _Scheduled(LambdaLR):
    """PyTorch's own schedule by a function, with less around it.

    The update of a small model takes hardly longer than what `LambdaLR` does between two.
    """

    def _update_lr(self, epoch: int | None = None) -> None:
        if epoch is not None:
            super()._update_lr(epoch)
            return
        self.last_epoch += 1
        factor = self.lr_lambdas[0](self.last_epoch)
        self._last_lr = [rate * factor for rate in self.base_lrs]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


def initial_rate(optimizer: Optimizer) -> float:
    """Return the learning rate that a new optimizer was given, that of its first group."""
    return float(optimizer.param_groups[0]["lr"])


def _groups(parameters: Sequence[Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters into those that are decayed and those that are not; drop empty groups."""
    if weight_decay == 0.0:
        return [{"params": list(parameters), "weight_decay": 0.0}]
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    kept = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _build(
    optimizer_class: type[Optimizer],
    groups: list[dict[str, Any]],
    learning_rate: float,
    **settings: Any,
) -> Optimizer:
    parameters = [parameter for group in groups for parameter in group["params"]]
    fused = all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in parameters)
    if optimizer_class is torch.optim.SGD and any(hasattr(p, "full_tensor") for p in parameters):
        fused = False  # PyTorch's kernel does not know parameters that are spread over processes
    factory = without_compiler(optimizer_class)
    optimizer: Optimizer = factory(groups, lr=learning_rate, fused=fused or None, **settings)
    return optimizer
