"""The arithmetic of the losses: pure functions of logits and true classes, in float32."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from ops.weighted_loss import LossValue, WeightedLoss

__all__ = ["Loss", "Tensor", "WeightedLoss", "cross_entropy_loss", "dice_loss"]

Loss = Callable[[Tensor, Tensor], LossValue]
"""Maps logits and targets to a scalar, or to a sum and its weight."""

_EACH, _SUM = 0, 2  # ATen's numbers for reduction="none" and "sum" (c10/core/Reduction.h)


def cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    class_weights: Sequence[float] | None,
    ignore_index: int,
    label_smoothing: float,
) -> WeightedLoss:
    """Add up cross-entropy over the pixels that count; see `ops.losses.cross_entropy`.

    Logits are [B, C, H, W] of any float type, targets [B, H, W] of any integer type.
    """
    weights = None if class_weights is None else _on_device(tuple(class_weights), logits.device)
    target = target.long()
    shares = functional.log_softmax(logits.float(), dim=1)
    # The sum, not the mean: where no pixel counts, the mean and its gradient are NaN.
    if shares.is_cuda and torch.are_deterministic_algorithms_enabled():
        total, weight = _repeatable_sums(shares, target, weights, ignore_index)
    else:
        # `functional.cross_entropy` calls this too, and drops the weight of the pixels that count.
        nll = torch.ops.aten.nll_loss2d_forward
        total, weight = nll(shares, target, weights, _SUM, ignore_index)
    if label_smoothing > 0.0:
        weighted = shares if weights is None else shares * weights.view(-1, 1, 1)
        spread = -weighted.mean(dim=1).where(target != ignore_index, 0.0).sum()
        total = (1.0 - label_smoothing) * total + label_smoothing * spread
    return WeightedLoss(total, weight, target.numel())


def _repeatable_sums(
    shares: Tensor, target: Tensor, weights: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum over the pixels that count, and the sum of their weights.

    A GPU's kernel that does both adds up in another order each time.
    """
    each, _ = torch.ops.aten.nll_loss2d_forward(shares, target, weights, _EACH, ignore_index)
    counts = target != ignore_index
    if weights is None:
        return each.sum(), counts.sum().float()
    return each.sum(), weights[target.where(counts, 0)].where(counts, 0.0).sum()


@cache
def _on_device(class_weights: tuple[float, ...], device: torch.device) -> Tensor:
    """Return weights as float32 [C], made once: copying them in each step would stop a GPU."""
    with torch.inference_mode(False):  # the first batch may be one of validation
        return torch.tensor(class_weights, dtype=torch.float32, device=device)


def dice_loss(
    logits: Tensor,
    target: Tensor,
    ignore_index: int,
    smooth: float,
    class_weights: Sequence[float] | None = None,
) -> WeightedLoss:
    """Add up 1 - soft Dice (Milletari et al., 2016, arXiv:1606.04797) of the samples.

    With probabilities p and true masks t the coefficient of a class is
    (2 sum(p t) + smooth) / (sum(p^2) + sum(t^2) + smooth); the sums run over the pixels of a sample
    that count. That of a sample is the mean over all classes, and it weighs as much as its pixels
    do together in `cross_entropy_loss`, whose logits and target these are.
    """
    counts = (target != ignore_index).unsqueeze(1)
    classes = target.long().unsqueeze(1).where(counts, 0)
    probabilities = logits.float().softmax(dim=1) * counts
    truth = torch.zeros_like(probabilities).scatter_(1, classes, counts.to(probabilities.dtype))
    pixels = (2, 3)
    both = (probabilities * truth).sum(pixels)
    sizes = truth.sum(pixels)
    either = probabilities.square().sum(pixels) + sizes
    losses = 1.0 - ((2.0 * both + smooth) / (either + smooth)).mean(dim=1)
    if class_weights is not None:
        sizes = sizes * _on_device(tuple(class_weights), logits.device)
    weights = sizes.sum(dim=1)
    return WeightedLoss((weights * losses).sum(), weights.sum(), target.numel())
