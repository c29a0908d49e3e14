"""The one state of a run: everything that a step changes, saved and restored whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from executor.devices.tensors import Model, Tensor, put_tensors, tensors_of
from executor.training.loop_state import LoopState
from ops.optimizer_functions import Optimizer, Schedule
from utils.framework import keras, tf


class GradScaler:
    """Scales the loss up and the gradient down again, so that small gradients survive fp16.

    As in PyTorch: the factor begins with 65536, is halved whenever a gradient overflows, and is
    doubled after 2000 updates without that.
    """

    _START, _INTERVAL = 2.0**16, 2000

    def __init__(self, enabled: bool) -> None:
        """Begin; if it is not enabled, nothing is ever scaled."""
        self._enabled = enabled
        self._scale = tf.Variable(self._START if enabled else 1.0, trainable=False)
        self._good = tf.Variable(0, trainable=False)

    def is_enabled(self) -> bool:
        """Return whether it scales."""
        return self._enabled

    def get_scale(self) -> float:
        """Return the factor."""
        return float(self._scale.numpy())

    def scale(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss times the factor."""
        return loss * self._scale if self._enabled else loss

    def unscale(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the gradients divided by the factor."""
        return [g / self._scale for g in gradients] if self._enabled else list(gradients)

    def update(self, is_finite: tf.Tensor) -> None:
        """Take note of whether the last gradients were finite, bool []."""
        good = tf.where(is_finite, self._good + 1, 0)
        grows = good == self._INTERVAL
        factor = tf.where(is_finite, tf.where(grows, 2.0, 1.0), 0.5)
        self._scale.assign(self._scale * factor)
        self._good.assign(tf.where(grows, 0, good))

    def state_dict(self) -> dict[str, Any]:
        """Return the factor and the updates since it last changed."""
        return {"scale": self.get_scale(), "good": int(self._good.numpy())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self._scale.assign(state["scale"])
        self._good.assign(state["good"])


class AveragedModel:
    """An exponential moving average of a model's weights and running statistics."""

    def __init__(self, model: Model, module: Model, decay: float) -> None:
        """Begin with the model's weights; `module` is an equal model, which becomes the average.

        An update keeps the share `decay` of the average, between 0 and 1.
        """
        self.module = module
        self.n_averaged = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._rate = 1.0 - decay
        put_tensors(module, tensors_of(model))

    def update_parameters(self, model: Model) -> None:
        """Move the average towards the model; the first time it becomes equal."""
        rate = tf.where(self.n_averaged == 0, 1.0, self._rate)
        # Where there are several devices, each moves its own copy.
        update = tf.distribute.get_strategy().extended.update
        for average, variable in zip(self.module.weights, model.weights, strict=True):
            update(average.value, _moved, args=(variable.value, rate))
        self.n_averaged.assign_add(1)


def _moved(average: tf.Variable, variable: tf.Variable, rate: tf.Tensor) -> None:
    if average.dtype.is_floating:
        average.assign_add((variable - average) * tf.cast(rate, average.dtype))
    else:
        average.assign(variable)


@dataclass
class TrainState:
    """Model, optimizer and all that goes with them."""

    model: Model
    optimizer: Optimizer
    schedule: Schedule
    scaler: GradScaler
    ema: AveragedModel | None
    loop_state: LoopState = field(default_factory=LoopState)

    @property
    def eval_model(self) -> Model:
        """The model that is evaluated and exported: the moving average if there is one."""
        return self.model if self.ema is None else self.ema.module

    @property
    def generators(self) -> list[keras.Variable]:
        """The states of the model's random generators: its variables that are no weights."""
        weights = {id(variable) for variable in self.model.weights}
        return [variable for variable in self.model.variables if id(variable) not in weights]

    def after_update(self) -> None:
        """Move on what changes with every update; part of the step's graph."""
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    def after_step(self, sample_offset: int) -> None:
        """Move on what changes with every step, whether it had an update or not.

        The schedule does not: it is a function of the number of the step.
        """
        self.loop_state.step += 1
        self.loop_state.sample_offset = sample_offset

    def after_evaluation(self, value: float) -> None:
        """Move on what changes with every evaluation: nothing, in TensorFlow."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries of arrays and plain values."""
        return {
            "loop_state": dict(vars(self.loop_state)),
            "model": tensors_of(self.model),
            "generators": [np.asarray(v.numpy()) for v in self.generators],
            "optimizer": [np.asarray(v.numpy()) for v in self.optimizer.variables],
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else _average_state(self.ema),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; a ValueError says if it is that of another model."""
        try:
            _put_all(self.model, state["model"])
            for variable, value in zip(self.generators, state["generators"], strict=True):
                variable.assign(value)
            variables = self.optimizer.variables
            for variable, value in zip(variables, state["optimizer"], strict=True):
                variable.assign(value)
            self.scaler.load_state_dict(state["scaler"])
            if self.ema is not None:
                _put_all(self.ema.module, state["ema"]["model"])
                self.ema.n_averaged.assign(state["ema"]["updates"])
            self.loop_state = LoopState(**state["loop_state"])
        except KeyError as error:
            raise ValueError(f"{error} is missing") from error

    def restart_average(self) -> None:
        """Let the moving average begin with the model's weights as they are now."""
        if self.ema is not None:
            put_tensors(self.ema.module, tensors_of(self.model))


def _average_state(ema: AveragedModel) -> dict[str, Any]:
    return {"model": tensors_of(ema.module), "updates": int(ema.n_averaged.numpy())}


def _put_all(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors into a model; a ValueError says if it does not have exactly these names."""
    own = tensors_of(model)
    other = sorted(own.keys() ^ tensors.keys())
    if other:
        raise ValueError(f"only one of both has {', '.join(other)}")
    put_tensors(model, tensors)
