"""The loss against arithmetic done by hand and against PyTorch's own."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ops import losses
from ops.weighted_loss import mean

WEIGHTS = [1.0, 2.0, 0.5]


def built(name: str, *arguments: Any, **settings: Any) -> Any:
    """Return a loss that gives one number, of a batch that is not in parts."""
    loss = getattr(losses, name)(*arguments, **settings)
    return lambda logits, target: mean(loss(logits, target))


def example(shares: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits [7, 3] that require a gradient, and true classes [7] or shares [7, 3]."""
    draws = np.random.default_rng(0)
    logits = torch.tensor(draws.uniform(-3, 3, (7, 3)).astype(np.float32), requires_grad=True)
    labels = draws.integers(0, 3, 7).astype(np.int32)
    mixed = draws.dirichlet([1.0, 1.0, 1.0], 7).astype(np.float32)
    return logits, torch.tensor(mixed if shares else labels)


def with_gradient(
    loss: Any, logits: torch.Tensor, target: torch.Tensor
) -> tuple[float, torch.Tensor]:
    """Return the loss and its gradient with respect to the logits."""
    value = loss(logits, target)
    return value.item(), torch.autograd.grad(value, logits)[0]


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert built("cross_entropy")(logits, torch.tensor([1, 0])).item() == pytest.approx(expected)
    # Three quarters of the second sample are of class 0.
    shares = torch.tensor([[0.0, 1.0], [0.75, 0.25]])
    expected += 0.25 * 2 / 2
    assert built("cross_entropy")(logits, shares).item() == pytest.approx(expected)


@pytest.mark.parametrize("weights", [None, WEIGHTS, [0.0, 1.0, 1.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_of_classes_equals_pytorch(
    weights: list[float] | None, smoothing: float
) -> None:
    logits, target = example()
    theirs = torch.nn.CrossEntropyLoss(
        weight=None if weights is None else torch.tensor(weights), label_smoothing=smoothing
    )
    ours = built("cross_entropy", class_weights=weights, label_smoothing=smoothing)
    value, gradient = with_gradient(ours, logits, target)
    expected, of_theirs = with_gradient(theirs, logits, target.long())
    assert value == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(gradient, of_theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_shares_equals_pytorch(smoothing: float) -> None:
    logits, target = example(shares=True)
    ours = built("cross_entropy", label_smoothing=smoothing)
    value, gradient = with_gradient(ours, logits, target)
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    expected, of_theirs = with_gradient(theirs, logits, target)
    assert value == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(gradient, of_theirs)


def test_weighted_shares_are_averaged_by_the_weights_that_are_in_them() -> None:
    logits, target = example(shares=True)
    # PyTorch divides by the number of samples.
    whole = functional.cross_entropy(logits, target, torch.tensor(WEIGHTS), reduction="sum")
    expected = whole.item() / (target * torch.tensor(WEIGHTS)).sum().item()
    found = built("cross_entropy", class_weights=WEIGHTS)(logits, target)
    assert found.item() == pytest.approx(expected, rel=1e-6)


# Loss and norm of its gradient for `example(shares)`; the tests of TensorFlow have the same.
NUMBERS: list[tuple[bool, dict[str, Any], float, float]] = [
    (False, {}, 2.8486791, 0.36331213),
    (False, {"class_weights": WEIGHTS}, 2.6379211, 0.37323394),
    (False, {"class_weights": [0.0, 1.0, 1.0]}, 3.8245068, 0.59046674),
    (False, {"label_smoothing": 0.1}, 2.7658980, 0.33740401),
    (False, {"class_weights": WEIGHTS, "label_smoothing": 0.3}, 2.3700516, 0.29477528),
    (True, {}, 2.9664690, 0.30312920),
    (True, {"class_weights": WEIGHTS, "label_smoothing": 0.3}, 2.5620682, 0.26546761),
]


@pytest.mark.parametrize(("shares", "arguments", "value", "norm"), NUMBERS)
def test_every_framework_has_the_same_numbers(
    shares: bool, arguments: dict[str, Any], value: float, norm: float
) -> None:
    ours, gradient = with_gradient(built("cross_entropy", **arguments), *example(shares))
    assert ours == pytest.approx(value, abs=1e-6)
    assert gradient.norm().item() == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize(
    "arguments", [arguments for shares, arguments, *_ in NUMBERS if not shares]
)
def test_a_class_is_a_whole_share(arguments: dict[str, Any]) -> None:
    logits, target = example()
    loss = built("cross_entropy", **arguments)
    value, gradient = with_gradient(loss, logits, target)
    again, of_shares = with_gradient(loss, logits, functional.one_hot(target.long(), 3).float())
    assert again == value
    assert torch.equal(of_shares, gradient)


@pytest.mark.parametrize("shares", [False, True])
def test_weights_of_zero_for_all_samples_are_no_loss(shares: bool) -> None:
    logits, labels = example()[0], torch.zeros(7, dtype=torch.int64)
    target = functional.one_hot(labels, 3).float() if shares else labels
    loss = built("cross_entropy", class_weights=[0.0, 0.0, 1.0])
    value, gradient = with_gradient(loss, logits, target)
    assert value == 0.0
    assert not gradient.any()


def test_smoothing_counts_the_other_classes_where_the_true_one_weighs_nothing() -> None:
    loss = built("cross_entropy", class_weights=[0.0, 0.0, 1.0], label_smoothing=0.3)
    value = loss(torch.zeros(1, 3), torch.zeros(1, dtype=torch.uint8))
    assert value.item() == pytest.approx(0.3 / 3 * math.log(3))


@pytest.mark.parametrize("shares", [False, True])
def test_bfloat16_logits_are_computed_in_float32(shares: bool) -> None:
    logits, target = example(shares)
    half = logits.detach().bfloat16()
    loss = built("cross_entropy", label_smoothing=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        result = loss(half, target)
    assert result.dtype == torch.float32
    assert result.item() == loss(half.float(), target).item()


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int64])
def test_integer_types_do_not_matter(kind: torch.dtype) -> None:
    logits, target = example()
    loss = built("cross_entropy")
    assert loss(logits, target.to(kind)).item() == loss(logits, target).item()


def test_great_logits_are_no_trouble() -> None:
    logits, target = example()
    value, gradient = with_gradient(built("cross_entropy"), logits * 1e4, target)
    assert math.isfinite(value)
    assert gradient.isfinite().all()


def test_class_weights_that_were_first_used_in_validation_serve_training() -> None:
    logits, target = example()
    loss = built("cross_entropy", class_weights=[0.25, 0.5, 0.125])
    with torch.inference_mode():
        validated = loss(logits, target).item()
    trained = loss(logits, target)
    trained.backward()
    assert trained.item() == validated


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_weights": [1.0, 2.0]}, r"each of the 3 classes\. Received: \[1\.0, 2\.0\]"),
        ({"class_weights": [1.0, -1.0, 1.0]}, r"0 or greater.* Received: \[1\.0, -1\.0, 1\.0\]"),
        ({"class_weights": [0.0, 0.0, 0.0]}, r"not all of them 0\. Received: "),
        ({"label_smoothing": 1.5}, r"`label_smoothing` must be between 0 and 1\. Received: 1\.5"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built("cross_entropy", num_classes=3, **arguments)


@pytest.mark.parametrize("shares", [False, True])
def test_parts_add_up_to_the_whole(shares: bool) -> None:
    logits, target = example(shares)
    loss = losses.cross_entropy(class_weights=WEIGHTS, label_smoothing=0.1)
    whole, parts = (
        loss(logits, target),
        [loss(logits[:3], target[:3]), loss(logits[3:], target[3:])],
    )
    total, weight = (sum(getattr(part, n).item() for part in parts) for n in ("total", "weight"))
    assert total / weight == pytest.approx(mean(whole).item(), rel=1e-6)
