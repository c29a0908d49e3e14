"""What PyTorch says about memory."""

import torch

from executor.devices.device import Device
from utils.memory import OutOfMemory, amount, available_memory, peak_of_process


def peak_memory(device: Device) -> int | None:
    """Return the most bytes that were in use: of tensors on a GPU, else of the process.

    None where the system does not tell.
    """
    if device.torch_device.type == "cuda":
        return torch.cuda.max_memory_allocated(device.torch_device)
    return peak_of_process()


def out_of_memory(error: BaseException) -> OutOfMemory | None:
    """Return which memory ran out where an error says so; None for any other error."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in text:
        return OutOfMemory("GPU", amount("Tried to allocate", text), amount("capacity of", text))
    if "_STATUS_ALLOC_FAILED" in text:  # from cuBLAS and cuDNN
        return OutOfMemory("GPU")
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        return OutOfMemory("CPU", amount("to allocate", text), available_memory())
    return None
