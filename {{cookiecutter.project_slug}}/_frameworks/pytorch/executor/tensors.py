"""What the shared parts of the executor need to know about PyTorch's tensors and models."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Module as Model

__all__ = ["Model", "Tensor", "count", "put_tensors", "read_tensors", "tensors_of", "write_tensors"]


def count(model: Model) -> tuple[int, int]:
    """Return how many parameters (single numbers) a model has, and how many of them are trained."""
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return sum(p.numel() for p in parameters), trained


def tensors_of(model: Model) -> dict[str, Tensor]:
    """Return a model's parameters and buffers by name: its `state_dict`."""
    return dict(model.state_dict())


def put_tensors(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into those of a model with the same names, whose shapes they must have."""
    model.load_state_dict(tensors, strict=False)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file.

    Args:
        path: The file.
        tensors: By name; any device and memory format. Two names of one tensor are stored twice.

    Raises:
        OSError: If the file cannot be written.
    """
    rows = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    seen: set[int] = set()
    for name, tensor in rows.items():
        address = tensor.untyped_storage().data_ptr()
        if tensor.numel() and address in seen:  # the format has no notion of shared memory
            rows[name] = tensor.clone()
        seen.add(address)
    try:
        save_file(rows, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, on the CPU.

    Raises:
        OSError: If the file is missing.
        ValueError: If it is no whole safetensors file.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
