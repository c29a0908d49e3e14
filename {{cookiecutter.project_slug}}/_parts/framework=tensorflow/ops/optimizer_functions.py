"""What the optimizers and schedules with a plain name are in TensorFlow.

The optimizers are those of Keras but for the arithmetic. That is PyTorch's, and TensorFlow has one
kernel for it where Keras needs ten operations a variable.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ops.parameter_groups import ParameterGroup
from utils.framework import keras, tf

Parameter: TypeAlias = keras.Variable
Optimizer: TypeAlias = keras.optimizers.Optimizer
Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


def adam_optimizer(
    groups: Sequence[ParameterGroup],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float | None = None,
) -> Optimizer:
    """Return Adam, or AdamW if there is a weight decay; see `ops.optimizers`."""
    return _built(_Adam(learning_rate, beta1, beta2, epsilon), groups, weight_decay or 0.0)


def sgd_optimizer(
    groups: Sequence[ParameterGroup],
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Optimizer:
    """Return stochastic gradient descent; see `ops.optimizers`."""
    return _built(_Sgd(learning_rate, momentum, nesterov), groups, weight_decay)


def scheduled(optimizer: Optimizer, factor: Callable[[int], float]) -> Schedule:
    """Return a schedule; `factor` maps the number of an update, from 0, to that of its rate."""
    return _Scheduled(optimizer, factor)


def initial_rate(optimizer: Optimizer) -> float:
    """Return the learning rate that a new optimizer was given."""
    # The shortest text of the number in float32 is what the configuration says.
    return float(str(np.float32(optimizer.learning_rate.numpy())))


class _Scheduled(Schedule):
    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        self._rate = initial_rate(optimizer)
        self._factor = factor

    def __call__(self, step: int) -> float:
        return self._rate * self._factor(int(step))


class _Grouped(Optimizer):
    """What both share: groups, which Keras does not have.

    Of each variable, in the order in which they were built, `rates` holds the factor of the
    learning rate and `decays` the weight decay.
    """

    rates: Sequence[float]
    decays: Sequence[float]

    def rate_of(self, number: int, learning_rate: Any, dtype: str) -> tf.Tensor:
        """Return the learning rate of a variable."""
        rate = tf.cast(learning_rate, dtype)
        return rate if self.rates[number] == 1.0 else rate * self.rates[number]


class _Adam(_Grouped):
    """Adam by TensorFlow's kernel, with epsilon added where PyTorch and the paper add it."""

    def __init__(self, learning_rate: float, beta1: float, beta2: float, epsilon: float) -> None:
        super().__init__(float(learning_rate), name="adam")
        self._betas = (beta1, beta2)
        self._epsilon = epsilon
        self._rate: tf.Tensor | None = None
        self._margin: tf.Tensor | None = None

    def build(self, variables: Sequence[Parameter]) -> None:
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Any = None) -> None:
        """Update the variables.

        With the corrections c1 = 1 - beta1^t and c2 = 1 - beta2^t of the t-th update and the
        running means m and v, the paper's rate x (m / c1) / (sqrt(v / c2) + epsilon) equals
        rate x (sqrt(c2) / c1) x m / (sqrt(v) + sqrt(c2) x epsilon), and that is what the kernel
        computes once it is given these two products. Near 1 their digits are few: float64.
        """
        number = tf.cast(self.iterations, tf.float64) + 1.0
        betas = [float(np.float32(beta)) for beta in self._betas]  # as the kernel sees them
        correct1, correct2 = (1.0 - tf.pow(tf.constant(b, tf.float64), number) for b in betas)
        root = tf.sqrt(correct2)
        self._rate = tf.cast(self.learning_rate, tf.float64) * root / correct1
        self._margin = self._epsilon * root
        super().apply(grads, trainable_variables)
        self._rate = self._margin = None  # a tensor of a graph must not outlive it

    def update_step(self, gradient: tf.Tensor, variable: Parameter, learning_rate: Any) -> None:
        number = self._get_variable_index(variable)
        if self.decays[number]:
            rate = self.rate_of(number, learning_rate, variable.dtype)
            variable.assign_sub(variable * self.decays[number] * rate)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._means[number].handle,
            v=self._squares[number].handle,
            beta1_power=tf.zeros((), variable.dtype),  # the rate is corrected already
            beta2_power=tf.zeros((), variable.dtype),
            lr=tf.cast(self.rate_of(number, self._rate, tf.float64), variable.dtype),
            beta1=tf.constant(self._betas[0], variable.dtype),
            beta2=tf.constant(self._betas[1], variable.dtype),
            epsilon=tf.cast(self._margin, variable.dtype),
            grad=gradient,
        )


class _Sgd(_Grouped):
    """Stochastic gradient descent with the learning rate outside of the velocity."""

    def __init__(self, learning_rate: float, momentum: float, nesterov: bool) -> None:
        super().__init__(float(learning_rate), name="sgd")
        self._momentum = momentum
        self._nesterov = nesterov

    def build(self, variables: Sequence[Parameter]) -> None:
        super().build(variables)
        moving = variables if self._momentum else []
        self._velocities = self.add_optimizer_variables(moving, "velocity")

    def update_step(self, gradient: tf.Tensor, variable: Parameter, learning_rate: Any) -> None:
        number = self._get_variable_index(variable)
        rate = self.rate_of(number, learning_rate, variable.dtype)
        if self.decays[number]:
            gradient = gradient + self.decays[number] * variable
        if not self._momentum:
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=gradient)
            return
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=self._velocities[number].handle,
            lr=rate,
            grad=gradient,
            momentum=tf.constant(self._momentum, variable.dtype),
            use_nesterov=self._nesterov,
        )


def _built(optimizer: _Grouped, groups: Sequence[ParameterGroup], weight_decay: float) -> Optimizer:
    """Make an optimizer's own variables, which must be there before anything is traced."""
    rows = [(variable, group) for group in groups for variable in group.parameters]
    decays = [weight_decay if g.weight_decay is None else g.weight_decay for _, g in rows]
    optimizer.rates = [group.rate for _, group in rows]
    optimizer.decays = [
        decay if len(variable.shape) > 1 else 0.0
        for decay, (variable, _) in zip(decays, rows, strict=True)
    ]
    with tf.name_scope(optimizer.name):
        optimizer.build([variable for variable, _ in rows])
    return optimizer
