"""Which device and precision is taken, and what arrives on it."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.loading import load_config
from configs.schema import CFG
from executor.devices import device as device_module
from executor.devices.device import Device
from executor.devices.tensors import read_tensors, write_tensors
from ops.task import ModelIO
from utils.errors import UserError


def config(*overrides: str) -> CFG:
    has_device = any(word.startswith("executor.device=") for word in overrides)
    return load_config(None, [*overrides, *([] if has_device else ["executor.device=cpu"])])


@pytest.fixture
def process_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets a test set what holds for the whole process."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.mark.usefixtures("process_settings")
def test_gpus_multiply_as_configured() -> None:
    device_module._set_up_cuda(tf32=False, deterministic=False)
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32 is False
    device_module._set_up_cuda(tf32=True, deterministic=False)
    assert torch.get_float32_matmul_precision() == "high"
    assert torch.backends.cudnn.allow_tf32 is True
    # The compiler asks in both of PyTorch's languages, which must not contradict each other.
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.cudnn.benchmark is True
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


@pytest.mark.usefixtures("process_settings")
def test_what_must_repeat_is_not_tried_out() -> None:
    device_module._set_up_cuda(tf32=True, deterministic=True)
    assert torch.backends.cudnn.benchmark is False
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_devices_and_precisions_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="Available: cpu"):
        Device(config("executor.device=cuda"))
    with pytest.raises(UserError, match="needs a GPU"):
        Device(config("executor.device=auto", "executor.precision=fp16"))


def test_images_arrive_normalised_and_in_the_chosen_format() -> None:
    io = ModelIO(3, (4, 5), mean=(0, 0.5, 1), std=(1, 0.5, 0.25), auxiliary_weight=0.4)
    device, plain = Device(config()), Device(config("executor.channels_last=false"))
    # As a batch has them: a field lies between others.
    fields = {"image": np.full((2, 9, 5, 3), 255, np.uint8)[:, 3:7]}
    (images,) = device.arranged(io.inputs(device.move(fields)))
    assert images.shape == (2, 3, 4, 5)
    assert images[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]
    assert images.is_contiguous(memory_format=torch.channels_last)
    (images,) = plain.arranged(io.inputs(plain.move(fields)))
    assert images.is_contiguous()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tied_weights_and_memory_formats_survive_a_file(tmp_path: Path, dtype: torch.dtype) -> None:
    shared = torch.randn(4, 3, 2, 2, dtype=dtype).to(memory_format=torch.channels_last)
    write_tensors(tmp_path / "x.safetensors", {"a": shared, "b": shared, "c": shared[1]})
    loaded = read_tensors(tmp_path / "x.safetensors")
    assert {tensor.dtype for tensor in loaded.values()} == {dtype}
    assert torch.equal(loaded["a"], shared)
    assert torch.equal(loaded["b"], shared)
    assert torch.equal(loaded["c"], shared[1])
