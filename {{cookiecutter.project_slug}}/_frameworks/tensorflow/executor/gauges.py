"""What TensorFlow tells about memory and arithmetic."""

import logging
import math
import re

import tensorflow as tf

from executor.device import Device
from executor.tensors import Model
from executor.values import Shortage
from utils.memory import amount, available_memory, peak_of_process


def peak_memory(device: Device) -> int | None:
    """Return the most bytes that were in use: of tensors on a GPU, else of the process.

    None where the system does not tell.
    """
    if str(device).startswith("cuda"):
        gpus = range(len(tf.config.list_logical_devices("GPU")))
        infos = [tf.config.experimental.get_memory_info(f"GPU:{number}") for number in gpus]
        return max(int(info["peak"]) for info in infos)
    return peak_of_process()


def forward_flops(model: Model, image_size: tuple[int, int], device: Device) -> int:
    """Count the operations of one sample's forward pass; a product with a sum is two.

    Args:
        model: In the end it is as it was.
        image_size: Height and width of the sample.
        device: Where the model is.
    """

    def forward(images: tf.Tensor) -> tf.Tensor:
        return model(device.images(images), training=False)

    signature = tf.TensorSpec((1, *image_size, 3), tf.uint8)
    graph = tf.function(forward, autograph=False).get_concrete_function(signature).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns that TensorFlow's own code is old
    try:
        return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
    finally:
        logger.setLevel(level)


def shortage_of(error: BaseException) -> Shortage | None:
    """Tell which memory ran out where an error says so; None for any other error."""
    text = str(error)
    if isinstance(error, tf.errors.ResourceExhaustedError):
        if "device:CPU" in text:
            return Shortage("CPU", _asked(text), available_memory())
        return Shortage("GPU", _asked(text))
    if isinstance(error, MemoryError) or "std::bad_alloc" in text:
        return Shortage("CPU", amount("to allocate", text), available_memory())
    return None


def _asked(text: str) -> int | None:
    """Return the bytes of the tensor that there was no room for."""
    tensor = re.search(r"shape\[([\d,]*)\] and type (\w+)", text)
    if tensor is not None:
        kind = tf.as_dtype({"half": "float16"}.get(tensor[2], tensor[2]))
        return math.prod(int(side) for side in tensor[1].split(",") if side) * int(kind.size)
    compiled = re.search(r"allocate (\d+)(?:B| bytes)", text)  # XLA's words
    return None if compiled is None else int(compiled[1])
