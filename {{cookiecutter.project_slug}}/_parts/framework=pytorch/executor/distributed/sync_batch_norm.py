"""Lets batch normalisation see the whole batch where several processes take shares of it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from executor.devices.tensors import Model


def batch_norms(model: Model) -> list[nn.Module]:
    """Return the modules of a model that normalise by the statistics of a batch."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def synchronise(model: Model) -> None:
    """Let these modules use the statistics of all processes' shares, in training.

    They stay the same objects, with the same parameters, buffers and names. On GPUs they become
    PyTorch's own, which refuse to work anywhere else.
    """
    is_on_gpu = any(parameter.is_cuda for parameter in model.parameters())
    everybody: Any = None
    for module in batch_norms(model):
        module.__class__ = nn.SyncBatchNorm if is_on_gpu else _SyncBatchNorm
        module.process_group = everybody


class _SyncBatchNorm(_BatchNorm):
    """Computes on any device what `nn.SyncBatchNorm` computes on GPUs."""

    def forward(self, input: Tensor) -> Tensor:
        """Return what is normalised over the batches of all processes, in training."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        normalise: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Normalised.apply
        outputs, mean, variance = normalise(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._remember(mean, variance, input.numel() // input.shape[1] * get_world_size())
        return outputs

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected [B, C, ...], received {list(input.shape)}")

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics; the variance becomes that of what the batch is drawn from.

        Args:
            mean: [C].
            variance: [C], of the batch.
            count: Numbers that each of them was computed from.
        """
        buffers: dict[str, Any] = self._buffers
        batches = buffers["num_batches_tracked"].add_(1)
        # Without a momentum it is the mean over all batches so far.
        share = 1.0 / batches.item() if self.momentum is None else self.momentum
        buffers["running_mean"].lerp_(mean, share)
        buffers["running_var"].lerp_(variance * (count / (count - 1)), share)


class _Normalised(torch.autograd.Function):
    """Batch normalisation whose mean and variance, and their gradients, are those of all batches.

    With the normalised inputs n = (x - mean) / sqrt(variance + epsilon) and the gradient g of n,
    that of x is (g - mean(g) - n mean(g n)) / sqrt(variance + epsilon).
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = _precise(inputs)
        over = [axis for axis in range(inputs.dim()) if axis != 1]
        mean = _average(values.mean(over))
        variance = _average((values - _wide(mean, inputs)).square().mean(over))
        ctx.save_for_backward(inputs, weight, mean, (variance + epsilon).rsqrt())
        outputs = batch_norm(inputs, mean, variance, weight, bias, eps=epsilon)
        ctx.mark_non_differentiable(mean, variance)
        return outputs, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, scale = ctx.saved_tensors
        gradient = _precise(gradients[0])
        over = [axis for axis in range(inputs.dim()) if axis != 1]
        normalised = (_precise(inputs) - _wide(mean, inputs)) * _wide(scale, inputs)
        # Of bias and weight, for the share of this process as for all other parameters.
        sums = torch.stack([gradient.sum(over), (gradient * normalised).sum(over)])
        means = _average(sums / (inputs.numel() // inputs.shape[1]))
        for_inputs = gradient - _wide(means[0], inputs) - normalised * _wide(means[1], inputs)
        factor = scale if weight is None else scale * weight
        return (
            (for_inputs * _wide(factor, inputs)).to(inputs.dtype),
            sums[1] if ctx.needs_input_grad[1] else None,
            sums[0] if ctx.needs_input_grad[2] else None,
            None,
        )


def _average(values: Tensor) -> Tensor:
    """Return the mean over the processes, whose shares are equally large."""
    all_reduce(values)
    return values / get_world_size()


def _precise(values: Tensor) -> Tensor:
    """Return numbers in which many can be added up."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _wide(values: Tensor, inputs: Tensor) -> Tensor:
    """Return values [C] in a shape that goes with inputs [B, C, ...]."""
    return values.view(1, -1, *[1] * (inputs.dim() - 2))
