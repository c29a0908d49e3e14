"""Runs a model as in training, and leaves everything as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from executor.devices.device import Device


@contextmanager
def without_trace(model: nn.Module, device: Device) -> Iterator[None]:
    """Take back in the end what passes through a model change.

    That is its buffers and gradients, random numbers, compiled code, and the memory of all that.

    Args:
        model: It has no gradients yet.
        device: Where the model is, set to the way in which it runs.
    """
    before = [buffer.clone() for buffer in model.buffers()]
    is_cuda = device.kind == "cuda"
    try:
        with torch.random.fork_rng([device.torch_device] if is_cuda else []):
            yield
    finally:
        for parameter in model.parameters():
            parameter.grad = None
        for buffer, value in zip(model.buffers(), before, strict=True):
            buffer.copy_(value)
        if device.way != "plain":
            torch._dynamo.reset()
        if is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device.torch_device)


def wait_for(device: Device) -> None:
    """Return when a GPU has done all it was given."""
    if device.kind == "cuda":
        torch.cuda.synchronize(device.torch_device)
