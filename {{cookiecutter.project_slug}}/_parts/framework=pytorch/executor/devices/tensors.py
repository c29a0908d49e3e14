"""What the shared parts of the executor need to know about PyTorch's tensors and models."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

Model: TypeAlias = torch.nn.Module
Tensor: TypeAlias = torch.Tensor

MODEL_KIND = "torch.nn.Module"
"""What a model is, for messages."""

_IN_NUMPY = {torch.float64, torch.float32, torch.float16, torch.bool, torch.uint8}
_IN_NUMPY |= {torch.int8, torch.int16, torch.int32, torch.int64}


def count_parameters(model: Model) -> tuple[int, int]:
    """Return how many parameters (single numbers) a model has, and how many of them are trained."""
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return sum(p.numel() for p in parameters), trained


def tensors_of(model: Model) -> dict[str, Tensor]:
    """Return a model's parameters and buffers by name: its `state_dict`."""
    return dict(model.state_dict())


def put_tensors(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into those of a model with the same names, whose shapes they must have."""
    model.load_state_dict(shard_state_dict(model, tensors), strict=False)


def gather_full(tensor: Tensor) -> Tensor:
    """Return a tensor of which each process has a part, collected; any other as it is.

    All processes must ask for it.
    """
    collected: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return collected


def shard_like(own: Tensor, value: Tensor) -> Tensor:
    """Return this process's part of a tensor if the tensor whose place it takes lies on several."""
    if not hasattr(own, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    moved = value.to(own.device, own.dtype)
    return distribute_tensor(moved, own.device_mesh, own.placements)  # type: ignore[attr-defined]


def shard_state_dict(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by name, spread over the processes where those of a model are."""
    own = model.state_dict()
    return {name: shard_like(own[name], t) if name in own else t for name, t in tensors.items()}


def copy_into(tensors: Mapping[str, Tensor], buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, so that training can go on changing them.

    `buffers` is what an earlier call returned, and is overwritten where it fits: to write into
    memory that is in use already takes a quarter of the time.
    """
    fitting = {
        name: buffers[name]
        if name in buffers
        and (buffers[name].shape, buffers[name].dtype) == (tensor.shape, tensor.dtype)
        else torch.empty(tensor.shape, dtype=tensor.dtype)
        for name, tensor in tensors.items()
    }
    with torch.no_grad():
        for name, buffer in fitting.items():
            buffer.copy_(tensors[name])
    return fitting


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device to a safetensors file; two names of one tensor make two copies.

    Raises:
        OSError: If the file cannot be written.
    """
    rows = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.touch()
    mode = path.stat().st_mode
    try:
        if _IN_NUMPY.issuperset(tensor.dtype for tensor in rows.values()):
            # The same bytes in half the time where there are many small tensors.
            save_arrays({name: tensor.numpy() for name, tensor in rows.items()}, path)
        else:
            save_file(_unshared(rows), path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(mode)  # safetensors lets nobody but the owner read what it writes


def _unshared(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of which no two share memory, a notion that the format does not have."""
    seen: set[int] = set()
    result = {}
    for name, tensor in rows.items():
        address = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if tensor.numel() and address in seen else tensor
        seen.add(address)
    return result


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, on the CPU.

    Raises:
        OSError: If the file is missing.
        ValueError: If it is damaged.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
