"""Lets batch normalisation use the statistics of all processes."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from utils.errors import UserError


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that normalise by the statistics of a batch."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def synchronise(model: nn.Module) -> None:
    """Let these modules use the statistics of all processes' shares, in training.

    They stay the same objects, with the same parameters, buffers and names. It is a UserError if
    the model is not on GPUs: PyTorch synchronises nowhere else.
    """
    if not all(parameter.is_cuda for parameter in model.parameters()):
        raise UserError(
            "executor.sync_batch_norm=true: PyTorch synchronises batch normalisation on GPUs only. "
            "Set it to false, or train in one process, which sees the whole batch."
        )
    for module in batch_norms(model):
        synchronised: Any = module
        synchronised.__class__ = nn.SyncBatchNorm
        synchronised.process_group = None  # all processes
