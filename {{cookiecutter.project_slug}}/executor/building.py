"""Builds the model and what trains it, as the configuration says."""

from collections.abc import Sequence
from functools import partial

from configs.calling import OPTIMIZER_POSITIONAL, SCHEDULE_POSITIONAL
from configs.schema import CFG
from configs.targets import positional
from dataloader.source import IGNORE_INDEX
from executor.device import Device
from executor.normalising import synchronise
from executor.parts import (
    MODEL_KIND,
    OPTIMIZER_KIND,
    SCHEDULE_KIND,
    adapt_loss,
    gradient_scaler,
    loss_argument,
    make_optimizer,
    moving_average,
    spread,
    trained_parameters,
)
from executor.run_directory import without_initial_weights
from executor.state import TrainState
from executor.step import Loss
from executor.tensors import Model
from executor.updates import Optimizer, Parameter, Schedule, initial_rate
from utils import seeding
from utils.errors import UserError
from utils.names import build, resolve

_CHANNELS = 3


def build_model(cfg: CFG, class_names: Sequence[str], device: Device) -> Model:
    """Return a new model on the device; its initial weights follow from `run.seed`.

    Raises:
        UserError: If the target cannot be built or is no model of the framework.
    """
    device.seed(int(seeding.generator(cfg.run.seed, seeding.WEIGHTS).integers(1 << 48)))
    offered = {
        "num_classes": len(class_names),
        "in_channels": _CHANNELS,
        "image_size": cfg.data.image_size,
    }
    with device.building():
        model = build(cfg.model.target, cfg.model.arguments, offered=offered)
        _check_kind(f"model.target={cfg.model.target}", model, Model, MODEL_KIND)
        return device.place(model)


def build_loss(cfg: CFG, class_names: Sequence[str], device: Device) -> Loss:
    """Return the loss: a callable of float logits and integer targets [B, H, W].

    The logits have the shape that the framework's models return.
    """
    component = cfg.train.loss
    offered = {
        "num_classes": len(class_names),
        "class_names": class_names,
        "ignore_index": IGNORE_INDEX,
    }
    arguments = {
        name: loss_argument(value, component.target) for name, value in component.arguments.items()
    }
    loss = build(component.target, arguments, home="ops.losses", offered=offered)
    return adapt_loss(loss, device)


def build_state(
    cfg: CFG, class_names: Sequence[str], total_steps: int, device: Device
) -> TrainState:
    """Return the state of a run before its first step.

    Args:
        cfg: `model`, `train`, `executor.sync_batch_norm` and `run.seed` are used.
        class_names: One for each class.
        total_steps: Offered to the schedule.
        device: Where the model lives.

    Raises:
        UserError: If something cannot be built, or no parameter can be trained.
    """
    model = build_model(cfg, class_names, device)
    build_twin = partial(build_model, without_initial_weights(cfg), class_names, device)
    ema = moving_average(model, cfg.train.ema_decay, build_twin)
    if cfg.executor.sync_batch_norm and device.world.replicas > 1:
        synchronise(model)
    spread(model, ema, device)
    parameters = trained_parameters(model)
    if not parameters:
        raise UserError(f"model.target={cfg.model.target} has no parameter that can be trained.")
    optimizer = _build_optimizer(cfg, parameters)
    return TrainState(
        model=model,
        optimizer=optimizer,
        schedule=_build_schedule(cfg, optimizer, total_steps),
        scaler=gradient_scaler(device),
        ema=ema,
    )


def _build_optimizer(cfg: CFG, parameters: Sequence[Parameter]) -> Optimizer:
    component = cfg.train.optimizer
    factory = resolve(component.target, "executor.optimizers")
    is_given = positional(component.target, OPTIMIZER_POSITIONAL) > 0
    optimizer: Optimizer = make_optimizer(component, factory, parameters, is_given)
    _check_kind(f"train.optimizer={component.target}", optimizer, Optimizer, OPTIMIZER_KIND)
    return optimizer


def _build_schedule(cfg: CFG, optimizer: Optimizer, total_steps: int) -> Schedule:
    component = cfg.train.schedule
    schedule: Schedule = build(
        component.target,
        component.arguments,
        *[optimizer][: positional(component.target, SCHEDULE_POSITIONAL)],
        home="executor.schedules",
        offered={
            "total_steps": total_steps,
            "initial_learning_rate": initial_rate(optimizer),
        },
    )
    _check_kind(f"train.schedule={component.target}", schedule, Schedule, SCHEDULE_KIND)
    return schedule


def _check_kind(setting: str, made: object, kind: type, name: str) -> None:
    """Refuse what a target made if it is something else.

    Raises:
        UserError: If it is.
    """
    if not isinstance(made, kind):
        raise UserError(f"{setting} made a {type(made).__name__}; it must make a {name}.")
