"""Builds the model and what trains it, as the configuration says."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from configs.calling import SCHEDULE_POSITIONAL
from configs.schema import CFG, Component, Train
from configs.targets import OPTIMIZER_INPUTS, positional
from dataloader.sample import Source
from evaluation.task import Task
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.inference.build import build_model, check_kind
from executor.training.build_functions import (
    OPTIMIZER_KIND,
    SCHEDULE_KIND,
    build_models,
    foreign_arguments,
    gradient_scaler,
    make_optimizer,
    named_parameters,
)
from executor.training.state import TrainState
from ops.optimizer_functions import Optimizer, Schedule, initial_rate
from ops.parameter_groups import split
from utils.errors import UserError
from utils.names import build, resolve


def build_state(
    cfg: CFG, source: Source, task: Task, total_steps: int, device: Device
) -> TrainState:
    """Return the state before the first step; a UserError says what cannot be built or trained."""
    make = partial(build_model, cfg, source, task, device)
    synchronised = cfg.executor.sync_batch_norm
    model, ema = build_models(make, cfg.train.ema_decay, synchronised, device.world)
    named = named_parameters(model)
    if not named:
        raise UserError(f"model.target={cfg.model.target} has no parameter that can be trained.")
    optimizer = _build_optimizer(cfg.train, model, named)
    return TrainState(
        model=model,
        optimizer=optimizer,
        schedule=_build_schedule(cfg.train.schedule, optimizer, total_steps),
        scaler=gradient_scaler(device),
        ema=ema,
    )


def _build_optimizer(train: Train, model: Model, named: Mapping[str, Any]) -> Optimizer:
    component, parameters = train.optimizer, list(named.values())
    factory = resolve(component.target, "ops.optimizers")
    groups = split(named, train.parameter_groups)
    inputs = dict(zip(OPTIMIZER_INPUTS, (list(named.items()), model), strict=True))
    given: Sequence[Any]
    if _takes_any(factory, inputs):
        if train.parameter_groups:
            raise UserError(
                f"train.parameter_groups does not go with train.optimizer={component.target}, "
                f"which takes {' or '.join(inputs)} and makes groups itself. Leave one of them out."
            )
        given = []
    elif ":" in component.target:
        given = foreign_arguments(component.target, factory, groups)
    else:
        given = [groups if train.parameter_groups else parameters]
    optimizer: Optimizer = make_optimizer(component, factory, parameters, given, inputs)
    check_kind(f"train.optimizer={component.target}", optimizer, Optimizer, OPTIMIZER_KIND)
    return optimizer


def _takes_any(factory: Any, names: Mapping[str, Any]) -> bool:
    try:
        return not inspect.signature(factory).parameters.keys().isdisjoint(names)
    except (TypeError, ValueError):  # no function; or compiled code, which may have no signature
        return False


def _build_schedule(component: Component, optimizer: Optimizer, total_steps: int) -> Schedule:
    schedule: Schedule = build(
        component.target,
        component.arguments,
        *[optimizer][: positional(component.target, SCHEDULE_POSITIONAL)],
        home="ops.lr_schedules",
        offered={"total_steps": total_steps, "initial_learning_rate": initial_rate(optimizer)},
    )
    check_kind(f"train.schedule={component.target}", schedule, Schedule, SCHEDULE_KIND)
    return schedule
