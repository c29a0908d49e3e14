"""The device and its numbers: chosen once, announced, and applied to models and batches."""

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from configs.schema import CFG, Executor
from dataloader.sample import Fields
from executor.devices.device_and_precision import Precision, choose_device, choose_precision
from executor.distributed.world import World
from ops.task import ModelIO
from utils.errors import UserError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

# What makes cuBLAS repeat its results (see PyTorch's notes on reproducibility).
_CUBLAS_WORKSPACE = ":4096:8"

# glibc's mallopt parameters and the value that makes it keep freed memory (malloc.h)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEEP_BYTES = -1, -3, 1 << 30


class Device:
    """Where tensors live and in which precision the model computes."""

    def __init__(self, cfg: CFG, world: World | None = None) -> None:
        """Choose what is asked for; a UserError says if the machine does not have it."""
        self.world = world or World()
        self.torch_device = _device(cfg.executor.device, self.world.local_rank)
        self.kind = self.torch_device.type
        """`cuda` (ROCm has that name too), `mps` or `cpu`."""
        self.precision, self.reason = _precision(cfg.executor.precision, self.kind)
        self._channels_last = cfg.executor.channels_last
        self._compile = cfg.executor.compile
        self._tf32 = self.kind == "cuda" and cfg.executor.tf32
        _set_up_process(cfg.executor, cfg.run.deterministic, self.kind)

    def __str__(self) -> str:
        tf32 = ", products of fp32 in TF32" if self._has_tf32() else ""
        return f"{self._name()}, {self.precision} ({self.reason}){tf32}"

    def place(self, model: nn.Module, io: ModelIO) -> nn.Module:
        """Move a model to the device, in the memory format that the configuration asks for."""
        # FSDP2 splits contiguous parameters only; the inputs' format decides about the rest.
        if self._channels_last and self.world.strategy != "fsdp":
            return model.to(self.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
        return model.to(self.torch_device)

    def compiled(self, model: nn.Module) -> Any:
        """Return what to call for a forward pass in training: the model, compiled if configured."""
        return torch.compile(model) if self._compile else model

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Mark where the compiler may run.

        Raises:
            UserError: If it cannot compile the model.
        """
        try:
            yield
        except RuntimeError as error:
            if not self._compile or not isinstance(error, torch._dynamo.exc.TorchDynamoException):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"executor.compile=true: the model cannot be compiled: {reason} Set it to false."
            ) from error

    def building(self) -> AbstractContextManager[Any]:
        """Return the context in which a model is made; PyTorch needs none."""
        return contextlib.nullcontext()

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which a forward pass computes in the chosen precision."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.kind, _DTYPES[self.precision])

    def move(self, fields: Fields) -> dict[str, Tensor]:
        """Return samples, [B, ...] by name, as tensors of the same types on the device."""
        return {
            name: torch.from_numpy(array).to(self.torch_device, non_blocking=True)
            for name, array in fields.items()
        }

    def arranged(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a model's inputs in the memory format that the configuration asks for."""
        return inputs if self._channels_last else tuple(one.contiguous() for one in inputs)

    def seed(self, seed: int) -> None:
        """Make the random numbers of this device, dropout's for example, follow from a seed."""
        torch.default_generator.manual_seed(seed)
        if self.kind == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.kind == "mps":
            torch.mps.manual_seed(seed)

    def facts(self) -> dict[str, Any]:
        """Return what `environment.json` says about the device."""
        return {
            "device": self._name(),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "cuda": torch.version.cuda,
            "hip": torch.version.hip,
            "tf32": self._has_tf32(),
            "compile": self._compile,
        }

    def _has_tf32(self) -> bool:
        return self._tf32 and torch.cuda.is_tf32_supported()

    def _name(self) -> str:
        if self.kind == "cuda":
            return f"cuda ({torch.cuda.get_device_name()})"
        return f"cpu ({torch.get_num_threads()} threads)" if self.kind == "cpu" else self.kind


def _device(wanted: str, local_rank: int) -> torch.device:
    """Return the device of this process, its own one where a machine has several GPUs."""
    has = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kind = choose_device(wanted, has, f"PyTorch ({torch.__version__})")
    if kind != "cuda":
        return torch.device(kind)
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"process {local_rank} of this machine has no GPU: there are "
            f"{torch.cuda.device_count()}. Start one process for each."
        )
    torch.cuda.set_device(local_rank)
    return torch.device(kind, local_rank)


def _precision(wanted: str, device: str) -> tuple[Precision, str]:
    if device == "cuda":
        accepts = torch.cuda.is_bf16_supported()
        computes = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        accepts, computes = True, device == "cpu" and _cpu_computes_bf16()
    return choose_precision(wanted, device, accepts_bf16=accepts, computes_bf16=computes)


def _cpu_computes_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _set_up_process(executor: Executor, deterministic: bool, device: str) -> None:
    if executor.threads is not None:
        torch.set_num_threads(executor.threads)
    if deterministic:
        torch.use_deterministic_algorithms(True)
    if device == "cuda":
        _set_up_cuda(executor.tf32, deterministic)
    if device == "cpu" and platform.libc_ver()[0] == "glibc":
        # Activations are freed and asked for again in every step; giving their pages back to the
        # system in between costs a seventh of a convolutional network's step.
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def _set_up_cuda(tf32: bool, deterministic: bool) -> None:
    """Say how a GPU shall multiply; cuDNN tries out its algorithms unless results must repeat."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _CUBLAS_WORKSPACE)
    torch.backends.cudnn.benchmark = not deterministic
    # The older of two interfaces that must not be mixed: the compiler of PyTorch 2.13 reads it too.
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
