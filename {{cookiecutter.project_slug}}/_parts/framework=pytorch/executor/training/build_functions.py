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
from ops.optimizer_functions import Parameter
from ops.stepping import without_compiler
from utils.names import call

OPTIMIZER_KIND = "torch.optim.Optimizer"
SCHEDULE_KIND = "torch.optim.lr_scheduler.LRScheduler"

# The arguments of PyTorch's optimizers that say, or decide, how an update is computed.
_IMPLEMENTATIONS = frozenset({"fused", "foreach", "capturable", "differentiable"})


def trained_parameters(model: Model) -> list[Parameter]:
    """Return the parameters that are not frozen."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def make_optimizer(
    component: Component, factory: Any, parameters: Sequence[Parameter], is_given: bool
) -> Any:
    """Return what an optimizer's target makes.

    Args:
        component: Its arguments are passed.
        factory: What the target names.
        parameters: What it shall optimise.
        is_given: Whether the target is given these.

    Raises:
        UserError: If it does not take the arguments.
    """
    given = [parameters] if is_given else []
    arguments = {**_fused(factory, component.arguments, given), **component.arguments}
    return call(component.target, without_compiler(factory), arguments, *given)


def _fused(
    factory: Any, arguments: Mapping[str, Any], given: Sequence[Sequence[Parameter]]
) -> dict[str, bool]:
    """Ask for one kernel for the whole update on a GPU, where this is left open."""
    if not (isinstance(factory, type) and issubclass(factory, torch.optim.Optimizer)):
        return {}
    choice = inspect.signature(factory).parameters.get("fused")
    is_open = choice is not None and choice.default is None
    is_chosen = not _IMPLEMENTATIONS.isdisjoint(arguments)
    tensors = [parameter for parameters in given for parameter in parameters]
    devices = {tensor.device for tensor in tensors}
    on_gpu = len(devices) == 1 and next(iter(devices)).type == "cuda"
    fits = on_gpu and all(tensor.is_floating_point() for tensor in tensors)
    return {"fused": True} if is_open and not is_chosen and fits else {}


def gradient_scaler(device: Device) -> torch.amp.GradScaler:
    """Return what keeps small gradients from vanishing in fp16; it does nothing elsewhere."""
    return torch.amp.GradScaler(device.torch_device.type, enabled=device.precision == "fp16")


def moving_average(
    model: Model, decay: float | None, build_twin: Callable[[], Model]
) -> AveragedModel | None:
    """Return an exponential moving average of a model's weights and buffers, if one is wanted.

    Args:
        model: Whose average it is; it is copied.
        decay: Share of the average that an update keeps; None for no average.
        build_twin: Not needed, since models can be copied.
    """
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def apply_fsdp(model: Model, ema: AveragedModel | None, device: Device) -> None:
    """Leave each of several processes a part of the model and of its average, with `fsdp`."""
    if device.world.strategy != "fsdp":
        return
    device.world.shard(model)
    if ema is not None and ema.multi_avg_fn is not None:
        device.world.shard(ema.module)
        ema.multi_avg_fn = _apart(ema.multi_avg_fn)


def _apart(average: Callable[..., None]) -> Callable[..., None]:
    """Let a function on lists of tensors see parameters, which are spread, apart from buffers."""

    def average_apart(averages: Sequence[Tensor], tensors: Sequence[Tensor], updates: int) -> None:
        pairs = list(zip(averages, tensors, strict=True))
        for is_spread in (True, False):
            chosen = [pair for pair in pairs if hasattr(pair[0], "full_tensor") is is_spread]
            if chosen:
                average(*map(list, zip(*chosen, strict=True)), updates)

    return average_apart
