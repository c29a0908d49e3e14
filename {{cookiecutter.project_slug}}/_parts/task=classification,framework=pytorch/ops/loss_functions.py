"""The arithmetic of the losses: pure functions of logits and true classes, in float32."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from ops.weighted_loss import LossValue, WeightedLoss

__all__ = ["Loss", "Tensor", "cross_entropy_loss"]

Loss = Callable[[Tensor, Tensor], LossValue]
"""Maps logits and targets to a scalar, or to a sum and its weight."""


def cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    class_weights: Sequence[float] | None,
    label_smoothing: float,
) -> WeightedLoss:
    """Add up cross-entropy over the samples; see `ops.losses.cross_entropy`.

    Logits are [B, C] of any float type; targets are classes, [B] of any integer type, or the share
    of each class, float32 [B, C].
    """
    classes = logits.shape[1]
    truth = target
    if not target.is_floating_point():
        truth = functional.one_hot(target.long(), classes).float()
    shares = truth
    if label_smoothing > 0.0:
        shares = (1.0 - label_smoothing) * truth + label_smoothing / classes
    if class_weights is not None:
        weights = _on_device(tuple(class_weights), logits.device)
        shares, truth = shares * weights, truth * weights
    total = -(shares * functional.log_softmax(logits.float(), dim=1)).sum()
    return WeightedLoss(total, truth.sum(), len(target))


@cache
def _on_device(class_weights: tuple[float, ...], device: torch.device) -> Tensor:
    """Return weights as float32 [C], made once: copying them in each step would stop a GPU."""
    with torch.inference_mode(False):  # the first batch may be one of validation
        return torch.tensor(class_weights, dtype=torch.float32, device=device)
