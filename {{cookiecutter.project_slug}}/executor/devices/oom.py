"""Turns a lack of memory into a message that says which settings to lower, and to what."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from configs.schema import Data, Train
from evaluation.task import Task
from executor.devices.device import Device
from executor.devices.memory import out_of_memory
from executor.distributed.world import STRATEGIES
from utils.errors import UserError
from utils.memory import OutOfMemory


@contextmanager
def explain_out_of_memory(
    when: Callable[[], str], advice: Callable[[OutOfMemory], list[str]]
) -> Iterator[None]:
    """Turn an error that says that memory ran out into a message.

    `when` says what was going on, for example "at step 3", and `advice` what to do, line by line.

    Raises:
        UserError: If memory ran out. To start again would not help, until a setting changes.
    """
    try:
        yield
    except Exception as error:
        shortage = out_of_memory(error)
        if shortage is None:
            raise
        lines = [f"{_described(shortage)} {when()}.", *advice(shortage)]
        raise UserError("\n  ".join(lines)) from error


def training_advice(
    train: Train, data: Data, device: Device, task: Task, shortage: OutOfMemory
) -> list[str]:
    """Return which settings of a training, or of an evaluation, to lower, and to what."""
    lines = [
        "Lower what is needed at once and start the same command again; checkpoints are whole.",
        *_same_result(train, device),
        *_other_result(train, task, device.world.size),
    ]
    if shortage.device == "CPU" and data.cache != "disk":
        lines.append("data.cache=disk keeps the decoded samples on disk")
    return [*lines, "A run that has begun takes another batch_size or source with --force only."]


def _described(shortage: OutOfMemory) -> str:
    """Return what ran out, as the beginning of a sentence."""
    text = f"out of memory ({shortage.device}"
    if shortage.requested is not None:
        text += f": {_gigabytes(shortage.requested)} more were asked for"
    if shortage.available is not None:
        kind = "it has" if shortage.device == "GPU" else "free were"
        comma = "," if shortage.requested is not None else ":"
        text += f"{comma} {kind} {_gigabytes(shortage.available)}"
    return text + ")"


def _same_result(train: Train, device: Device) -> Iterator[str]:
    """Yield what leaves the training what it is, but for rounding."""
    world = device.world
    share = train.batch_size // world.size
    at_once = share // train.accumulate
    parts = next((n for n in range(train.accumulate + 1, share + 1) if share % n == 0), None)
    if parts is not None:
        yield (
            f"train.accumulate={parts}: {share // parts} at once in place of {at_once} samples; "
            "the batch stays (batch normalisation sees the smaller part)"
        )
    if device.precision == "fp32":
        choice = "bf16" if str(device).startswith("cpu") else "auto"
        yield f"executor.precision={choice} takes about half the memory of fp32"
    if world.strategy == "ddp" and "fsdp" in STRATEGIES:
        yield "executor.strategy=fsdp leaves each process a part of the model, in place of all"


def _other_result(train: Train, task: Task, processes: int) -> Iterator[str]:
    """Yield what makes it another training."""
    unit = processes * train.accumulate
    smaller = train.batch_size // 2 // unit * unit
    if smaller:
        yield f"train.batch_size={smaller} in place of {train.batch_size}: another training"
    yield from task.lighter()
    yield "or a smaller model: the arguments of model.target"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
