"""How the parts of a training are made from the framework's classes."""

from collections.abc import Callable, Sequence
from typing import Any

from configs.schema import Component
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.training.state import AveragedModel, GradScaler
from ops.optimizer_functions import Parameter
from utils.errors import UserError
from utils.framework import keras
from utils.names import call

OPTIMIZER_KIND = "keras.optimizers.Optimizer"
SCHEDULE_KIND = (
    "keras.optimizers.schedules.LearningRateSchedule, a function of the number of the update "
    "(what waits for a plateau is none; train.early_stopping can end a run at one)"
)


def trained_parameters(model: Model) -> list[Parameter]:
    """Return the parameters that are not frozen."""
    return list(model.trainable_variables)


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
        UserError: If it does not take the arguments, or has a schedule inside.
    """
    given = [parameters] if is_given else []
    optimizer = call(component.target, factory, component.arguments, *given)
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


def moving_average(
    model: Model, decay: float | None, build_twin: Callable[[], Model]
) -> AveragedModel | None:
    """Return an exponential moving average of a model's weights and statistics, if one is wanted.

    Args:
        model: Whose average it is.
        decay: Share of the average that an update keeps; None for no average.
        build_twin: Makes an equal model, since not every model can be copied.
    """
    return None if decay is None else AveragedModel(model, build_twin(), decay)


def apply_fsdp(model: Model, ema: AveragedModel | None, device: Device) -> None:
    """Leave the model and its average as they are: each process has them whole."""
