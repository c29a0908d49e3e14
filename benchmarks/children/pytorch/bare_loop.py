"""The loop that one writes by hand in plain PyTorch: no logs, no checkpoints, nothing but steps."""

import contextlib
import ctypes

import torch
from batches import Batches
from torch.nn import functional
from workload import Workload

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEEP_BYTES = -1, -3, 1 << 30  # malloc.h


def main() -> None:
    """Train until nobody asks for a further step."""
    work = Workload.given()
    work.set_threads()
    model = work.build_model()
    if work.tuned:
        model = model.to(memory_format=torch.channels_last)
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    optimizer = work.build_optimizer(model)
    is_bf16 = work.precision == "bf16"
    total = 0.0
    for images, masks in Batches(work):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if is_bf16 else contextlib.nullcontext():
            loss = functional.cross_entropy(model(images), masks)
        loss.backward()
        optimizer.step()
        if work.item:
            total += loss.item()


if __name__ == "__main__":
    main()
