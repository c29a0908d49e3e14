"""The optimizers with a plain name: the same name and numbers mean the same in every framework.

Any other optimizer is reached by its full name, for example `target: torch.optim:SGD`, with that
class's own arguments. All numbers here are per update; a schedule multiplies `learning_rate`.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from executor.stepping import without_compiler

# Where PyTorch has one kernel for the whole update; elsewhere its own choice is taken.
_FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})


def adam(
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> torch.optim.Optimizer:
    """Build Adam (Kingma and Ba, 2015, arXiv:1412.6980).

    Args:
        parameters: What to optimise; those without a gradient are left as they are.
        learning_rate: Step size, 0 or greater.
        beta1: Decay of the running mean of the gradient, in [0, 1).
        beta2: Decay of the running mean of the squared gradient, in [0, 1).
        epsilon: Added to the root of the bias-corrected second moment, as in the paper's
            algorithm 1. (Keras adds it before the correction and has 1e-7 as its default.)

    Raises:
        ValueError: If there are no parameters or a number is out of range.
    """
    groups = _groups(parameters, weight_decay=0.0)
    return _build(torch.optim.Adam, groups, learning_rate, betas=(beta1, beta2), eps=epsilon)


def adamw(
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> torch.optim.Optimizer:
    """Build Adam with decoupled weight decay (Loshchilov and Hutter, 2019, arXiv:1711.05101).

    Args:
        parameters: What to optimise; those without a gradient are left as they are.
        learning_rate: Step size, 0 or greater.
        weight_decay: Each update first multiplies the weights by 1 - learning rate x weight decay;
            0 or greater. Parameters with one dimension (biases, scales of normalisation) are
            never decayed: pulling those to zero fits no better and disturbs normalisation.
        beta1: Decay of the running mean of the gradient, in [0, 1).
        beta2: Decay of the running mean of the squared gradient, in [0, 1).
        epsilon: As for `adam`.

    Raises:
        ValueError: If there are no parameters or a number is out of range.
    """
    groups = _groups(parameters, weight_decay)
    return _build(torch.optim.AdamW, groups, learning_rate, betas=(beta1, beta2), eps=epsilon)


def sgd(
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float = 1e-2,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Build stochastic gradient descent, with momentum if asked for.

    With gradient g, velocity v and weights w an update is v = momentum x v + g and
    w = w - learning rate x v, or w = w - learning rate x (g + momentum x v) with Nesterov's
    momentum. The learning rate is not part of the velocity, so a schedule acts at once. (Keras's
    own SGD has it inside, which is the same only as long as the rate is constant.)

    Args:
        parameters: What to optimise; those without a gradient are left as they are.
        learning_rate: Step size, 0 or greater.
        momentum: 0 (none) or greater.
        nesterov: Look ahead by the momentum (Sutskever et al., ICML 2013); needs momentum > 0.
        weight_decay: weight decay x w is added to the gradient (L2 regularisation, not decoupled);
            0 or greater. Parameters with one dimension are never decayed, as for `adamw`.

    Raises:
        ValueError: If there are no parameters, a number is out of range, or `nesterov` is set
            without momentum.
    """
    if nesterov and not momentum > 0:
        raise ValueError(
            f"Argument `momentum` must be greater than 0 with `nesterov`. Received: {momentum}"
        )
    groups = _groups(parameters, weight_decay)
    return _build(torch.optim.SGD, groups, learning_rate, momentum=momentum, nesterov=nesterov)


def _groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters into those that are decayed and those that are not; drop empty groups."""
    listed = list(parameters)
    if not listed:
        raise ValueError("Argument `parameters` must hold at least one parameter. Received: none")
    if not weight_decay >= 0.0:  # PyTorch checks its defaults, but not what groups bring
        raise ValueError(f"Argument `weight_decay` must be 0 or greater. Received: {weight_decay}")
    if weight_decay == 0.0:
        return [{"params": listed, "weight_decay": 0.0}]
    decayed = [parameter for parameter in listed if parameter.ndim > 1]
    kept = [parameter for parameter in listed if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _build(
    optimizer_class: type[torch.optim.Optimizer],
    groups: list[dict[str, Any]],
    learning_rate: float,
    **settings: Any,
) -> torch.optim.Optimizer:
    fused = all(
        parameter.device.type in _FUSED_DEVICES and parameter.is_floating_point()
        for group in groups
        for parameter in group["params"]
    )
    factory = without_compiler(optimizer_class)
    optimizer: torch.optim.Optimizer = factory(
        groups, lr=learning_rate, fused=fused or None, **settings
    )
    return optimizer
