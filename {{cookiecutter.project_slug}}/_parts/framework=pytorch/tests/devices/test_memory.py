"""What PyTorch says when memory runs out is understood, on devices that are not here too."""

import pytest
import torch

from executor.devices.memory import out_of_memory
from utils.memory import OutOfMemory

CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.25 GiB of "
    "which 1.19 GiB is free. Process 7 has 78.05 GiB memory in use. Of the allocated memory ..."
)
MPS = (
    "MPS backend out of memory (MPS allocated: 17.20 GB, other allocations: 512.00 KB, max "
    "allowed: 18.13 GB). Tried to allocate 1.00 GB on private pool. Use ..."
)


def test_a_gpu_says_what_it_was_asked_for_and_what_it_has() -> None:
    expected = OutOfMemory("GPU", int(2.5 * (1 << 30)), int(79.25 * (1 << 30)))
    assert out_of_memory(torch.OutOfMemoryError(CUDA)) == expected
    rocm = CUDA.replace("CUDA", "HIP")
    assert out_of_memory(torch.OutOfMemoryError(rocm)) == expected


def test_other_ways_to_say_it() -> None:
    assert out_of_memory(RuntimeError(MPS)) == OutOfMemory("GPU", 1 << 30)
    text = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    assert out_of_memory(RuntimeError(text)) == OutOfMemory("GPU")
    assert out_of_memory(RuntimeError("CUDA error: device-side assert triggered")) is None


def test_a_cpu_says_it_with_the_allocator_s_name() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(10**14)
    shortage = out_of_memory(refused.value)
    assert shortage is not None
    assert (shortage.device, shortage.requested) == ("CPU", 4 * 10**14)
    assert shortage.available
