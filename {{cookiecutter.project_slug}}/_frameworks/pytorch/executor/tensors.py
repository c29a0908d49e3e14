"""Tensors in files: the only place that knows how PyTorch's tensors are stored."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["Tensor", "read_tensors", "write_tensors"]


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
