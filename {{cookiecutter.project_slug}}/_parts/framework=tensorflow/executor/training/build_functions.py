"""How the parts of a training are made from the framework's classes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from configs.schema import Component
from executor.devices.device import Device
from executor.devices.tensors import Model, named_variables
from executor.distributed.sync_batch_norm import synchronise
from executor.distributed.world import World
from executor.training.state import AveragedModel, GradScaler
from ops.optimizer_functions import Parameter
from ops.parameter_groups import ParameterGroup
from utils.errors import UserError
from utils.framework import keras
from utils.names import call

OPTIMIZER_KIND = "keras.optimizers.Optimizer"
SCHEDULE_KIND = (
    "keras.optimizers.schedules.LearningRateSchedule, a function of the number of the update "
    "(what waits for a plateau is none; train.early_stopping can end a run at one)"
)


def build_models(
    make: Callable[[], Model], ema_decay: float | None, sync_batch_norm: bool, world: World
) -> tuple[Model, AveragedModel | None]:
    """Return a new model and, if `ema_decay` is given, the moving average of its weights.

    The average is a second model, since not every model of Keras can be copied.
    """
    model = make()
    ema = None if ema_decay is None else AveragedModel(model, make(), ema_decay)
    if sync_batch_norm and world.replicas > 1:
        synchronise(model)
    return model, ema


def named_parameters(model: Model) -> dict[str, Parameter]:
    """Return the parameters that are not frozen, by the names of their weights."""
    names = {id(variable): name for name, variable in named_variables(model).items()}
    return {names[id(variable)]: variable for variable in model.trainable_variables}


def foreign_arguments(target: str, factory: Any, groups: Sequence[ParameterGroup]) -> list[Any]:
    """Return what an optimizer without a plain name is given: nothing, Keras asks later."""
    if len(groups) > 1:
        raise UserError(
            f"train.parameter_groups needs adam, adamw or sgd: an optimizer of Keras, such as "
            f"train.optimizer={target}, has one learning rate for all."
        )
    return []


def make_optimizer(
    component: Component,
    factory: Any,
    parameters: Sequence[Parameter],
    given: Sequence[Any],
    offered: Mapping[str, Any],
) -> Any:
    """Return what an optimizer's target makes; `given` is passed before its arguments."""
    optimizer = call(component.target, factory, component.arguments, *given, offered=offered)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    if not isinstance(optimizer._learning_rate, keras.Variable):
        raise UserError(
            f"train.optimizer={component.target} has a schedule inside. Give it a number, and name "
            "the schedule in train.schedule."
        )
    if not optimizer.built:
        optimizer.build(parameters)  # all variables must be there before the step is traced
    return optimizer


def gradient_scaler(device: Device) -> GradScaler:
    """Return what keeps small gradients from vanishing in fp16; it does nothing elsewhere."""
    return GradScaler(enabled=device.precision == "fp16")
