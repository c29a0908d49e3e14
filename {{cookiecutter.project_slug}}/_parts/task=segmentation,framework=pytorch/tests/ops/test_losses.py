"""The losses against arithmetic done by hand and against PyTorch's own."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ops import loss_functions, losses
from ops.weighted_loss import mean

IGNORE = 255


def built(name: str, *arguments: Any, **settings: Any) -> Any:
    """Return a loss that gives one number, of a batch that is not in parts."""
    loss = getattr(losses, name)(*arguments, **settings)
    return lambda logits, target: mean(loss(logits, target))


def example(classes: int = 3, ignored: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits [2, classes, 5, 7] that require a gradient, and true classes [2, 5, 7]."""
    draws = np.random.default_rng(0)
    logits = torch.tensor(draws.uniform(-3, 3, (2, 5, 7, classes)).astype(np.float32))
    logits = logits.permute(0, 3, 1, 2).requires_grad_()
    target = torch.tensor(draws.integers(0, classes, (2, 5, 7)).astype(np.uint8))
    if ignored:
        target[0, :2] = IGNORE
    return logits, target


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]])  # [1, 2, 1, 2]
    target = torch.tensor([[[1, 0]]])
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert built("cross_entropy")(logits, target).item() == pytest.approx(expected)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5], [0.0, 1.0, 1.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_pytorch(weights: list[float] | None, smoothing: float) -> None:
    logits, target = example()
    ours = built("cross_entropy", class_weights=weights, label_smoothing=smoothing)(logits, target)
    theirs = functional.cross_entropy(
        logits,
        target.long(),
        weight=None if weights is None else torch.tensor(weights),
        ignore_index=IGNORE,
        label_smoothing=smoothing,
    )
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


# Loss and norm of its gradient for `example()`; the tests of TensorFlow have the same numbers.
WEIGHTS = [1.0, 2.0, 0.5]
NUMBERS: list[tuple[str, dict[str, Any], float, float]] = [
    ("cross_entropy", {}, 2.2428412, 0.14063667),
    ("cross_entropy", {"class_weights": WEIGHTS}, 2.1477177, 0.15502600),
    ("cross_entropy", {"class_weights": [0.0, 1.0, 1.0]}, 2.1384830, 0.17557002),
    ("cross_entropy", {"label_smoothing": 0.1}, 2.2181132, 0.13159744),
    ("cross_entropy", {"class_weights": WEIGHTS, "label_smoothing": 0.3}, 2.1458604, 0.12656412),
    ("dice", {}, 0.62452573, 0.02880138),
    ("dice", {"smooth": 0.5}, 0.64423358, 0.029702725),
    ("cross_entropy_dice", {}, 2.867367, 0.16050793),
    (
        "cross_entropy_dice",
        {"dice_weight": 0.5, "class_weights": WEIGHTS, "label_smoothing": 0.1, "smooth": 2.0},
        2.4414835,
        0.15327305,
    ),
]


@pytest.mark.parametrize(("name", "arguments", "value", "norm"), NUMBERS)
def test_every_framework_has_the_same_numbers(
    name: str, arguments: dict[str, Any], value: float, norm: float
) -> None:
    logits, target = example()
    ours = built(name, **arguments)(logits, target)
    ours.backward()
    assert ours.item() == pytest.approx(value, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.norm().item() == pytest.approx(norm, rel=1e-5)


def test_dice_by_hand() -> None:
    logits = torch.tensor([[[[0.0, math.log(3)]], [[0.0, 0.0]]]])  # p of class 0: 1/2, 3/4
    target = torch.tensor([[[1, 0]]])
    first = (2 * 3 / 4 + 1) / (1 / 4 + 9 / 16 + 1 + 1)
    second = (2 * 1 / 2 + 1) / (1 / 4 + 1 / 16 + 1 + 1)
    expected = 1 - (first + second) / 2
    assert built("dice", smooth=1.0)(logits, target).item() == pytest.approx(expected)


def test_dice_equals_numpy() -> None:
    logits, target = example()
    scores = logits.detach().double().numpy()
    exponent = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = exponent / exponent.sum(axis=1, keepdims=True)
    samples, weights = [], []
    for shares, classes in zip(p, target.numpy(), strict=True):
        counts = classes != IGNORE
        coefficients = []
        for c in range(3):
            truth = (classes == c)[counts].astype(float)
            both = (shares[c][counts] * truth).sum()
            squares = (shares[c][counts] ** 2).sum()
            coefficients.append((2 * both + 0.5) / (squares + truth.sum() + 0.5))
        samples.append(1 - np.mean(coefficients))
        weights.append(counts.sum())
    expected = np.average(samples, weights=weights)
    assert built("dice", smooth=0.5)(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_a_perfect_prediction_has_no_dice_loss_even_for_an_absent_class() -> None:
    target = torch.tensor([[[0, 1], [1, 0]]])
    logits = functional.one_hot(target, 3).permute(0, 3, 1, 2) * 100.0
    assert built("dice")(logits, target).item() == pytest.approx(0.0, abs=1e-6)


def test_the_sum_is_the_sum() -> None:
    logits, target = example()
    both = built("cross_entropy_dice", dice_weight=0.5)(logits, target)
    entropy = built("cross_entropy")(logits, target)
    expected = entropy + 0.5 * built("dice")(logits, target)
    assert both.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "cross_entropy_dice"])
class TestEveryLoss:
    """What holds for each of them."""

    def test_ignored_pixels_change_nothing(self, name: str) -> None:
        logits, target = example()
        loss = built(name)
        before = loss(logits, target)
        before.backward()
        changed = torch.where((target == IGNORE).unsqueeze(1), logits + 3.0, logits)
        assert loss(changed, target).item() == before.item()
        assert logits.grad is not None
        assert not logits.grad[0, :, :2].any()
        assert logits.grad[0, :, 2:].all()

    def test_nothing_to_count_is_no_loss_and_no_gradient(self, name: str) -> None:
        logits, target = example()
        loss = built(name)(logits, torch.full_like(target, IGNORE))
        loss.backward()
        assert loss.item() == 0.0
        assert logits.grad is not None
        assert not logits.grad.any()

    def test_parts_add_up_to_the_whole(self, name: str) -> None:
        logits, target = example()
        loss = getattr(losses, name)()
        whole, parts = (
            loss(logits, target),
            [loss(logits[i : i + 1], target[i : i + 1]) for i in (0, 1)],
        )
        assert sum(part.count for part in parts) == whole.count
        total, weight = (
            sum(getattr(part, n).item() for part in parts) for n in ("total", "weight")
        )
        assert total / weight == pytest.approx(mean(whole).item(), rel=1e-6)
        assert float(parts[0].weight) < float(parts[1].weight)

    def test_bfloat16_logits_are_computed_in_float32(self, name: str) -> None:
        logits, target = example()
        half = logits.detach().bfloat16()
        loss = built(name)
        with torch.autocast("cpu", torch.bfloat16):
            result = loss(half, target)
        assert result.dtype == torch.float32
        assert result.item() == loss(half.float(), target).item()

    def test_integer_types_do_not_matter(self, name: str) -> None:
        logits, target = example()
        loss = built(name)
        assert loss(logits, target).item() == loss(logits, target.long()).item()


def test_weights_of_zero_for_all_pixels_are_no_loss() -> None:
    logits, target = example()
    loss = built("cross_entropy", class_weights=[0.0, 0.0, 1.0])(logits, torch.zeros_like(target))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_smoothing_counts_the_other_classes_where_the_true_one_weighs_nothing() -> None:
    loss = built("cross_entropy", class_weights=[0.0, 0.0, 1.0], label_smoothing=0.3)
    value = loss(torch.zeros(1, 3, 1, 1), torch.zeros(1, 1, 1, dtype=torch.uint8))
    assert value.item() == pytest.approx(0.3 / 3 * math.log(3))


def test_class_weights_that_were_first_used_in_validation_serve_training() -> None:
    logits, target = example()
    loss = built("cross_entropy", class_weights=[0.25, 0.5, 0.125])
    with torch.inference_mode():
        validated = loss(logits, target).item()
    trained = loss(logits, target)
    trained.backward()
    assert trained.item() == validated


def test_a_wrong_number_of_class_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"each of the 3 classes\. Received: \[1\.0, 2\.0\]"):
        built("cross_entropy", class_weights=[1.0, 2.0], num_classes=3)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
@pytest.mark.parametrize("everything", [False, True], ids=["some pixels", "no pixel"])
def test_sums_that_repeat_on_gpus_are_those_of_the_usual_kernel(
    weights: list[float] | None, everything: bool
) -> None:
    logits, target = example()
    if everything:
        target[:] = IGNORE
    shares = functional.log_softmax(logits, dim=1)
    tensor = None if weights is None else torch.tensor(weights)
    usual = torch.ops.aten.nll_loss2d_forward(shares, target.long(), tensor, 2, IGNORE)
    found = loss_functions._repeatable_sums(shares, target.long(), tensor, IGNORE)
    torch.testing.assert_close(found, usual)
    grads = [torch.autograd.grad(t, logits, retain_graph=True)[0] for t in (usual[0], found[0])]
    torch.testing.assert_close(*grads)
