"""What PyTorch tells about memory and arithmetic."""

import numpy as np
import torch

from executor.device import Device
from executor.inference import shape_of_logits
from executor.tensors import Model
from executor.values import Shortage
from utils.memory import amount, available_memory, peak_of_process


def peak_memory(device: Device) -> int | None:
    """Return the most bytes that were in use: of tensors on a GPU, else of the process.

    None where the system does not tell.
    """
    if device.torch_device.type == "cuda":
        return torch.cuda.max_memory_allocated(device.torch_device)
    return peak_of_process()


def forward_flops(model: Model, image_size: tuple[int, int], device: Device) -> int:
    """Count the operations of one sample's forward pass; a product with a sum is two.

    Args:
        model: In the end it is as it was.
        image_size: Height and width of the sample.
        device: Where the model is.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        shape_of_logits(model, np.zeros((1, *image_size, 3), np.uint8), device)
    return int(counter.get_total_flops())


def shortage_of(error: BaseException) -> Shortage | None:
    """Tell which memory ran out where an error says so; None for any other error."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in text:
        return Shortage("GPU", amount("Tried to allocate", text), amount("capacity of", text))
    if "_STATUS_ALLOC_FAILED" in text:  # from cuBLAS and cuDNN
        return Shortage("GPU")
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        return Shortage("CPU", amount("to allocate", text), available_memory())
    return None
