"""Builds the model and what trains it, as the configuration says."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from configs.calling import OPTIMIZER_POSITIONAL, SCHEDULE_POSITIONAL
from configs.schema import CFG
from configs.targets import positional
from dataloader.source import IGNORE_INDEX
from executor.device import Device
from executor.run_directory import without_initial_weights
from executor.state import AveragedModel, GradScaler, TrainState
from executor.step import Loss
from executor.updates import Optimizer, Schedule
from utils import seeding
from utils.errors import UserError
from utils.names import build

_CHANNELS = 3


def build_model(cfg: CFG, class_names: Sequence[str], device: Device) -> keras.Model:
    """Return a new model on the device; its initial weights follow from `run.seed`.

    Raises:
        UserError: If the target cannot be built or is no `keras.Model`.
    """
    device.seed(int(seeding.generator(cfg.run.seed, seeding.WEIGHTS).integers(1 << 48)))
    offered = {
        "num_classes": len(class_names),
        "in_channels": _CHANNELS,
        "image_size": cfg.data.image_size,
    }
    with device.autocast():
        model = build(cfg.model.target, cfg.model.arguments, offered=offered)
        if not isinstance(model, keras.Model):
            raise UserError(
                f"model.target={cfg.model.target} made a {type(model).__name__}; "
                "it must make a keras.Model."
            )
        return device.place(model)


def build_loss(cfg: CFG, class_names: Sequence[str], device: Device) -> Loss:
    """Return the loss: a callable of float logits [B, H, W, C] and int32 targets [B, H, W]."""
    component = cfg.train.loss
    offered = {
        "num_classes": len(class_names),
        "class_names": class_names,
        "ignore_index": IGNORE_INDEX,
    }
    loss = build(component.target, component.arguments, home="ops.losses", offered=offered)
    if isinstance(loss, keras.losses.Loss):
        return _in_our_order(loss)
    ours: Loss = loss
    return ours


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
    if not model.trainable_variables:
        raise UserError(f"model.target={cfg.model.target} has no parameter that can be trained.")
    optimizer = _build_optimizer(cfg, model.trainable_variables)
    ema = None
    if cfg.train.ema_decay is not None:
        twin = build_model(without_initial_weights(cfg), class_names, device)
        ema = AveragedModel(model, twin, cfg.train.ema_decay)
    return TrainState(
        model=model,
        optimizer=optimizer,
        schedule=_build_schedule(cfg, optimizer, total_steps),
        scaler=GradScaler(enabled=device.precision == "fp16"),
        ema=ema,
    )


def _build_optimizer(cfg: CFG, parameters: Sequence[keras.Variable]) -> Optimizer:
    component = cfg.train.optimizer
    given = [parameters][: positional(component.target, OPTIMIZER_POSITIONAL)]
    optimizer = build(component.target, component.arguments, *given, home="executor.optimizers")
    if not isinstance(optimizer, Optimizer):
        raise UserError(
            f"train.optimizer={component.target} made a {type(optimizer).__name__}; "
            "it must make a keras.optimizers.Optimizer."
        )
    if not optimizer.built:  # all variables must be there before the step is traced
        optimizer.build(parameters)
    return optimizer


def _build_schedule(cfg: CFG, optimizer: Optimizer, total_steps: int) -> Schedule:
    component = cfg.train.schedule
    schedule = build(
        component.target,
        component.arguments,
        *[optimizer][: positional(component.target, SCHEDULE_POSITIONAL)],
        home="executor.schedules",
        offered={"total_steps": total_steps},
    )
    if not isinstance(schedule, Schedule):
        raise UserError(
            f"train.schedule={component.target} made a {type(schedule).__name__}; it must make a "
            "keras.optimizers.schedules.LearningRateSchedule, a function of the update's number. "
            "(What waits for a plateau is not; train.early_stopping ends a run at one.)"
        )
    return schedule


def _in_our_order(loss: keras.losses.Loss) -> Loss:
    """Return one of Keras' own losses, which take the truth first, as the others are called."""

    def ordered(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return loss(target, logits)

    return ordered
