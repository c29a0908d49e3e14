"""How the parts of a training are made from the framework's classes."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from configs.schema import Component
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.distributed.sync_batch_norm import synchronise
from executor.distributed.world import World
from ops.optimizer_functions import Optimizer, Parameter
from ops.parameter_groups import ParameterGroup
from utils.errors import UserError
from utils.names import call

OPTIMIZER_KIND = "torch.optim.Optimizer"
SCHEDULE_KIND = "torch.optim.lr_scheduler.LRScheduler"

# The arguments of PyTorch's optimizers that say, or decide, how an update is computed.
_IMPLEMENTATIONS = frozenset({"fused", "foreach", "capturable", "differentiable"})


def build_models(
    make: Callable[[], Model], ema_decay: float | None, sync_batch_norm: bool, world: World
) -> tuple[Model, AveragedModel | None]:
    """Return a new model and, if `ema_decay` is given, the moving average of its weights.

    With `fsdp` each process has a part of both.
    """
    model, ema = make(), None
    if ema_decay is not None:
        average = get_ema_multi_avg_fn(ema_decay)
        ema = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    if sync_batch_norm and world.replicas > 1:
        synchronise(model)
    if world.strategy == "fsdp":
        world.shard(model)
        if ema is not None:
            world.shard(ema.module)
            ema.multi_avg_fn = _apart(average)
    return model, ema


def named_parameters(model: Model) -> dict[str, Parameter]:
    """Return the parameters that are not frozen, by the names of their weights."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def foreign_arguments(target: str, factory: Any, groups: Sequence[ParameterGroup]) -> list[Any]:
    """Return what an optimizer without a plain name is given: all parameters, or groups of them."""
    first, *others = groups
    if not others:
        return [list(first.parameters)]
    if not _is_optimizer_class(factory):
        raise UserError(
            f"train.parameter_groups needs a plain name (adamw) or a class derived from "
            f"{OPTIMIZER_KIND}. Let {target} take `named_parameters` and make the groups itself."
        )
    rows = []
    for group in groups:
        decay = {} if group.weight_decay is None else {"weight_decay": group.weight_decay}
        rows.append({"params": list(group.parameters), "rate": group.rate, **decay})
    return [rows]


def make_optimizer(
    component: Component,
    factory: Any,
    parameters: Sequence[Parameter],
    given: Sequence[Any],
    offered: Mapping[str, Any],
) -> Any:
    """Return what an optimizer's target makes; `given` is passed before its arguments."""
    arguments = {**_fused(factory, component.arguments, parameters), **component.arguments}
    optimizer = call(component.target, factory, arguments, *given, offered=offered)
    for group in getattr(optimizer, "param_groups", []):
        if "rate" in group:  # one of `foreign_arguments`
            group["lr"] *= group.pop("rate")
            if "weight_decay" in group and "weight_decay" not in optimizer.defaults:
                raise UserError(
                    f"train.optimizer={component.target} has no weight_decay, so none of "
                    "train.parameter_groups can have one."
                )
    return optimizer


def _is_optimizer_class(factory: Any) -> bool:
    return isinstance(factory, type) and issubclass(factory, Optimizer)


def _fused(
    factory: Any, arguments: Mapping[str, Any], parameters: Sequence[Parameter]
) -> dict[str, bool]:
    """Ask for one kernel for the whole update on a GPU, where this is left open."""
    if not _is_optimizer_class(factory):
        return {}
    choice = inspect.signature(factory).parameters.get("fused")
    is_open = choice is not None and choice.default is None
    is_chosen = not _IMPLEMENTATIONS.isdisjoint(arguments)
    fits = all(p.device.type == "cuda" and p.is_floating_point() for p in parameters)
    return {"fused": True} if is_open and not is_chosen and fits else {}


def gradient_scaler(device: Device) -> torch.amp.GradScaler:
    """Return what keeps small gradients from vanishing in fp16; it does nothing elsewhere."""
    return torch.amp.GradScaler(device.torch_device.type, enabled=device.precision == "fp16")


def _apart(average: Callable[..., None]) -> Callable[..., None]:
    """Let a function on lists of tensors see parameters, which are spread, apart from buffers."""

    def average_apart(averages: Sequence[Tensor], tensors: Sequence[Tensor], updates: int) -> None:
        pairs = list(zip(averages, tensors, strict=True))
        for is_spread in (True, False):
            chosen = [pair for pair in pairs if hasattr(pair[0], "full_tensor") is is_spread]
            if chosen:
                average(*map(list, zip(*chosen, strict=True)), updates)

    return average_apart
