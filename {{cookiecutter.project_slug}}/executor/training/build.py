"""Builds the model and what trains it, as the configuration says."""

from collections.abc import Sequence
from functools import partial

from configs.calling import OPTIMIZER_POSITIONAL, SCHEDULE_POSITIONAL
from configs.schema import CFG
from configs.targets import positional
from executor.devices.device import Device
from executor.distributed.sync_batch_norm import synchronise
from executor.inference.build import build_model, check_kind
from executor.runs.run_directory import without_initial_weights
from executor.training.build_functions import (
    OPTIMIZER_KIND,
    SCHEDULE_KIND,
    apply_fsdp,
    gradient_scaler,
    make_optimizer,
    moving_average,
    trained_parameters,
)
from executor.training.state import TrainState
from ops.optimizer_functions import Optimizer, Parameter, Schedule, initial_rate
from utils.errors import UserError
from utils.names import build, resolve

_CHANNELS = 3


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
    apply_fsdp(model, ema, device)
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
    factory = resolve(component.target, "ops.optimizers")
    is_given = positional(component.target, OPTIMIZER_POSITIONAL) > 0
    optimizer: Optimizer = make_optimizer(component, factory, parameters, is_given)
    check_kind(f"train.optimizer={component.target}", optimizer, Optimizer, OPTIMIZER_KIND)
    return optimizer


def _build_schedule(cfg: CFG, optimizer: Optimizer, total_steps: int) -> Schedule:
    component = cfg.train.schedule
    schedule: Schedule = build(
        component.target,
        component.arguments,
        *[optimizer][: positional(component.target, SCHEDULE_POSITIONAL)],
        home="ops.lr_schedules",
        offered={
            "total_steps": total_steps,
            "initial_learning_rate": initial_rate(optimizer),
        },
    )
    check_kind(f"train.schedule={component.target}", schedule, Schedule, SCHEDULE_KIND)
    return schedule
