"""What the optimizers with a plain name refuse, the same in every framework."""


def check_adam(
    learning_rate: float, beta1: float, beta2: float, epsilon: float, weight_decay: float = 0.0
) -> None:
    """Refuse numbers that Adam cannot have.

    Raises:
        ValueError: If `beta1` or `beta2` is not in [0, 1), or another number is below 0.
    """
    _check_at_least_0("learning_rate", learning_rate)
    _check_at_least_0("epsilon", epsilon)
    _check_at_least_0("weight_decay", weight_decay)
    for name, value in (("beta1", beta1), ("beta2", beta2)):
        if not 0.0 <= value < 1.0:
            raise ValueError(f"Argument `{name}` must be in [0, 1). Received: {value}")


def check_sgd(learning_rate: float, momentum: float, nesterov: bool, weight_decay: float) -> None:
    """Refuse numbers that stochastic gradient descent cannot have.

    Raises:
        ValueError: If a number is below 0, or `nesterov` is set without momentum.
    """
    _check_at_least_0("learning_rate", learning_rate)
    _check_at_least_0("momentum", momentum)
    _check_at_least_0("weight_decay", weight_decay)
    if nesterov and not momentum > 0:
        raise ValueError(
            f"Argument `momentum` must be greater than 0 with `nesterov`. Received: {momentum}"
        )


def _check_at_least_0(name: str, value: float) -> None:
    if not value >= 0.0:
        raise ValueError(f"Argument `{name}` must be 0 or greater. Received: {value}")
