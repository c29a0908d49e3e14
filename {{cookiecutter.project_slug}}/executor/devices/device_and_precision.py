"""Chooses the device and the numbers to compute with, from what the machine has."""

from collections.abc import Mapping
from typing import Literal

from utils.errors import UserError

Precision = Literal["fp32", "bf16", "fp16"]


def choose_device(wanted: str, has: Mapping[str, bool], build: str) -> str:
    """Return the device to use, of those that the machine has, the best first."""
    if wanted == "auto":
        return next(name for name, there in has.items() if there)
    if not has[wanted]:
        known = ", ".join(name for name, there in has.items() if there)
        raise UserError(
            f"executor.device={wanted}: this machine, or this build of {build}, has none. "
            f"Available: {known}. auto takes the best."
        )
    return wanted


def choose_precision(
    wanted: str, device: str, *, accepts_bf16: bool, computes_bf16: bool
) -> tuple[Precision, str]:
    """Return the precision to use, and why.

    A device that accepts bf16 but does not compute in it emulates it, slowly.
    """
    if wanted == "fp16" and device == "cpu":
        raise UserError("executor.precision=fp16 needs a GPU and there is none; use auto or bf16.")
    if wanted == "bf16" and not accepts_bf16:
        raise UserError("executor.precision=bf16: this GPU cannot; use auto, fp16 or fp32.")
    if wanted in ("fp32", "bf16", "fp16"):
        return wanted, "as configured"  # type: ignore[return-value]
    if computes_bf16:
        return "bf16", f"auto: the {'CPU' if device == 'cpu' else 'GPU'} computes in it"
    if device == "cuda":
        return "fp16", "auto: the GPU has no bf16"
    return "fp32", f"auto: this {device} has no fast bf16"
