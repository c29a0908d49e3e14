"""What TensorFlow says about memory."""

import math
import re

from executor.devices.device import Device
from utils.framework import tf
from utils.memory import OutOfMemory, amount, available_memory, peak_of_process


def peak_memory(device: Device) -> int | None:
    """Return the most bytes that were in use: of tensors on a GPU, else of the process.

    None where the system does not tell.
    """
    if str(device).startswith("cuda"):
        gpus = range(len(tf.config.list_logical_devices("GPU")))
        infos = [tf.config.experimental.get_memory_info(f"GPU:{number}") for number in gpus]
        return max(int(info["peak"]) for info in infos)
    return peak_of_process()


def out_of_memory(error: BaseException) -> OutOfMemory | None:
    """Return which memory ran out where an error says so; None for any other error."""
    text = str(error)
    if isinstance(error, tf.errors.ResourceExhaustedError):
        if "device:CPU" in text:
            return OutOfMemory("CPU", _asked(text), available_memory())
        return OutOfMemory("GPU", _asked(text))
    if isinstance(error, MemoryError) or "std::bad_alloc" in text:
        return OutOfMemory("CPU", amount("to allocate", text), available_memory())
    return None


def _asked(text: str) -> int | None:
    """Return the bytes of the tensor that there was no room for."""
    tensor = re.search(r"shape\[([\d,]*)\] and type (\w+)", text)
    if tensor is not None:
        kind = tf.as_dtype({"half": "float16"}.get(tensor[2], tensor[2]))
        return math.prod(int(side) for side in tensor[1].split(",") if side) * int(kind.size)
    compiled = re.search(r"allocate (\d+)(?:B| bytes)", text)  # XLA's words
    return None if compiled is None else int(compiled[1])
