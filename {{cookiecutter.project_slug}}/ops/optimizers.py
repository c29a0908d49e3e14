"""The optimizers with a plain name: the same name and numbers mean the same in every framework.

Any other optimizer is reached by its full name (`torch.optim:RMSprop`, `keras.optimizers:Lion`),
with that class's own arguments. All numbers here are per update; a schedule multiplies
`learning_rate`. What is optimised are parameters, of which those without a gradient are left as
they are, or `ops.parameter_groups.ParameterGroup`s.
"""

from collections.abc import Iterable

from ops.optimizer_functions import Optimizer, Parameter, adam_optimizer, sgd_optimizer
from ops.parameter_groups import ParameterGroup, as_groups
from utils.checks import check


def adam(
    parameters: Iterable[Parameter | ParameterGroup],
    *,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> Optimizer:
    """Build Adam (Kingma and Ba, 2015, arXiv:1412.6980).

    Args:
        parameters: What to optimise.
        learning_rate: Step size, 0 or greater.
        beta1: Decay of the running mean of the gradient, in [0, 1).
        beta2: Decay of the running mean of the squared gradient, in [0, 1).
        epsilon: Added to the root of the bias-corrected second moment, as in the paper's
            algorithm 1; 0 or greater. (Keras' own Adam adds it before the correction and has 1e-7
            as its default.)

    Raises:
        ValueError: If there are no parameters, a number is out of range, or a group has a weight
            decay.
    """
    _check_numbers(learning_rate=learning_rate, epsilon=epsilon)
    _check_betas(beta1=beta1, beta2=beta2)
    groups = as_groups(parameters)
    if any(group.weight_decay is not None for group in groups):
        raise ValueError("adam has no weight decay, so no group can have one; take adamw")
    return adam_optimizer(groups, learning_rate, beta1, beta2, epsilon)


def adamw(
    parameters: Iterable[Parameter | ParameterGroup],
    *,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> Optimizer:
    """Build Adam with decoupled weight decay (Loshchilov and Hutter, 2019, arXiv:1711.05101).

    Each update first multiplies the weights by 1 - learning rate x weight decay, which is 0 or
    greater. Parameters with one dimension (biases, scales of normalisation) are never decayed:
    pulling those to zero fits no better and disturbs normalisation. Other arguments as for `adam`.

    Raises:
        ValueError: If there are no parameters or a number is out of range.
    """
    _check_numbers(learning_rate=learning_rate, epsilon=epsilon, weight_decay=weight_decay)
    _check_betas(beta1=beta1, beta2=beta2)
    groups = as_groups(parameters)
    return adam_optimizer(groups, learning_rate, beta1, beta2, epsilon, weight_decay)


def sgd(
    parameters: Iterable[Parameter | ParameterGroup],
    *,
    learning_rate: float = 1e-2,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Build stochastic gradient descent, with momentum if asked for.

    With gradient g, velocity v and weights w an update is v = momentum x v + g and
    w = w - learning rate x v, or w = w - learning rate x (g + momentum x v) with Nesterov's
    momentum. The learning rate is not part of the velocity, so a schedule acts at once. (Keras'
    own SGD has it inside, which is the same only as long as the rate is constant.)

    Args:
        parameters: What to optimise.
        learning_rate: Step size, 0 or greater.
        momentum: 0 (none) or greater.
        nesterov: Look ahead by the momentum (Sutskever et al., ICML 2013); needs momentum > 0.
        weight_decay: weight decay x w is added to the gradient (L2 regularisation, not decoupled);
            0 or greater. Parameters with one dimension are never decayed, as for `adamw`.

    Raises:
        ValueError: If there are no parameters, a number is out of range, or `nesterov` is set
            without momentum.
    """
    _check_numbers(learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay)
    fits = momentum > 0 or not nesterov
    check("momentum", momentum, fits, "be greater than 0 with `nesterov`")
    return sgd_optimizer(as_groups(parameters), learning_rate, momentum, nesterov, weight_decay)


def _check_numbers(**numbers: float) -> None:
    for name, value in numbers.items():
        check(name, value, value >= 0.0, "be 0 or greater")


def _check_betas(**betas: float) -> None:
    for name, value in betas.items():
        check(name, value, 0.0 <= value < 1.0, "be in [0, 1)")
