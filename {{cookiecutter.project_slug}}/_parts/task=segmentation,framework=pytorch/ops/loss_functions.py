"""The arithmetic of the losses: pure functions of logits and true classes, in float32."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Loss", "Tensor", "cross_entropy_loss", "dice_loss"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and targets to a scalar."""

_LEAST_WEIGHT = 1e-30  # to divide by where no pixel counts; what is divided is 0 then
_EACH, _SUM = 0, 2  # ATen's numbers for reduction="none" and "sum" (c10/core/Reduction.h)


def cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    class_weights: Sequence[float] | None,
    ignore_index: int,
    label_smoothing: float,
) -> Tensor:
    """Average cross-entropy over the pixels that count; see `ops.losses.cross_entropy`.

    Logits are [B, C, H, W] of any float type, targets [B, H, W] of any integer type.

    Returns:
        float32 []; 0 with a gradient of 0 if no pixel counts.
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
        weight = weight.where(weight > 0, 1.0)  # smoothing is left where all true classes weigh 0
    mean: Tensor = total / weight.clamp(min=_LEAST_WEIGHT)
    return mean


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


def dice_loss(logits: Tensor, target: Tensor, ignore_index: int, smooth: float) -> Tensor:
    """Return 1 - soft Dice (Milletari et al., 2016, arXiv:1606.04797), averaged over the classes.

    With probabilities p and true masks t the coefficient of a class is
    (2 sum(p t) + smooth) / (sum(p^2) + sum(t^2) + smooth); the sums run over all pixels of the
    batch that count. Logits and target are those of `cross_entropy_loss`.

    Returns:
        float32 [] in [0, 1); 0 with a gradient of 0 if no pixel counts.
    """
    counts = (target != ignore_index).unsqueeze(1)
    classes = target.long().unsqueeze(1).where(counts, 0)
    probabilities = logits.float().softmax(dim=1) * counts
    truth = torch.zeros_like(probabilities).scatter_(1, classes, counts.to(probabilities.dtype))
    pixels = (0, 2, 3)
    both = (probabilities * truth).sum(pixels)
    either = probabilities.square().sum(pixels) + truth.sum(pixels)
    return 1.0 - ((2.0 * both + smooth) / (either + smooth)).mean()
