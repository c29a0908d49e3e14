"""Builds the model and what trains it, as the configuration says."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from configs.calling import OPTIMIZER_POSITIONAL, SCHEDULE_POSITIONAL
from configs.schema import CFG
from configs.targets import positional
from dataloader.source import IGNORE_INDEX
from executor.device import Device
from executor.state import TrainState
from executor.step import Loss
from executor.stepping import without_compiler
from utils import seeding
from utils.errors import UserError
from utils.names import build, call, resolve

_CHANNELS = 3


def build_model(cfg: CFG, class_names: Sequence[str], device: Device) -> nn.Module:
    """Return a new model on the device; its initial weights follow from `run.seed`.

    Raises:
        UserError: If the target cannot be built or is no `torch.nn.Module`.
    """
    device.seed(int(seeding.generator(cfg.run.seed, seeding.WEIGHTS).integers(1 << 48)))
    offered = {
        "num_classes": len(class_names),
        "in_channels": _CHANNELS,
        "image_size": cfg.data.image_size,
    }
    model = build(cfg.model.target, cfg.model.arguments, offered=offered)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"model.target={cfg.model.target} made a {type(model).__name__}; "
            "it must make a torch.nn.Module."
        )
    return device.place(model)


def build_loss(cfg: CFG, class_names: Sequence[str], device: Device) -> Loss:
    """Return the loss: a callable of float logits [B, C, H, W] and int64 targets [B, H, W]."""
    component = cfg.train.loss
    offered = {
        "num_classes": len(class_names),
        "class_names": class_names,
        "ignore_index": IGNORE_INDEX,
    }
    arguments = {
        name: _as_tensor(value, component.target) for name, value in component.arguments.items()
    }
    loss: Loss = build(component.target, arguments, home="ops.losses", offered=offered)
    if isinstance(loss, nn.Module):
        loss.to(device.torch_device)
    return loss


def build_state(
    cfg: CFG, class_names: Sequence[str], total_steps: int, device: Device
) -> TrainState:
    """Return the state of a run before its first step.

    Args:
        cfg: `model`, `train` and `run.seed` are used.
        class_names: One for each class.
        total_steps: Offered to the schedule.
        device: Where the model lives.

    Raises:
        UserError: If something cannot be built, or no parameter can be trained.
    """
    model = build_model(cfg, class_names, device)
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise UserError(f"model.target={cfg.model.target} has no parameter that can be trained.")
    optimizer = _build_optimizer(cfg, trainable)
    return TrainState(
        model=model,
        optimizer=optimizer,
        schedule=_build_schedule(cfg, optimizer, total_steps),
        scaler=torch.amp.GradScaler(device.torch_device.type, enabled=device.precision == "fp16"),
        ema=_moving_average(model, cfg.train.ema_decay),
    )


def _build_optimizer(cfg: CFG, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    component = cfg.train.optimizer
    factory = without_compiler(resolve(component.target, "executor.optimizers"))
    given = [parameters][: positional(component.target, OPTIMIZER_POSITIONAL)]
    optimizer = call(component.target, factory, component.arguments, *given)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(
            f"train.optimizer={component.target} made a {type(optimizer).__name__}; "
            "it must make a torch.optim.Optimizer."
        )
    return optimizer


def _build_schedule(cfg: CFG, optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
    component = cfg.train.schedule
    schedule = build(
        component.target,
        component.arguments,
        *[optimizer][: positional(component.target, SCHEDULE_POSITIONAL)],
        home="executor.schedules",
        offered={"total_steps": total_steps},
    )
    if not isinstance(schedule, LRScheduler):
        raise UserError(
            f"train.schedule={component.target} made a {type(schedule).__name__}; "
            "it must make a torch.optim.lr_scheduler.LRScheduler."
        )
    return schedule


def _moving_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """Return an exponential moving average of a model's weights and buffers, if one is wanted."""
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _as_tensor(value: object, target: str) -> object:
    """Let a list of numbers in YAML serve PyTorch's own losses, whose weights are tensors."""
    is_numbers = isinstance(value, list) and all(isinstance(v, int | float) for v in value)
    return torch.tensor(value, dtype=torch.float32) if is_numbers and _is_torch(target) else value


def _is_torch(target: str) -> bool:
    return target.startswith("torch.")
