"""What TensorFlow says when memory runs out is understood, on devices that are not here too."""

import pytest

from executor.devices.memory import out_of_memory
from utils.framework import tf
from utils.memory import OutOfMemory

GPU = (
    "Graph execution error:\n\nDetected at node ...\nOOM when allocating tensor with "
    "shape[64,512,512,16] and type half on /job:localhost/replica:0/task:0/device:GPU:0 by "
    "allocator GPU_0_bfc\n\t [[{{node Conv2D}}]]"
)


def exhausted(text: str) -> tf.errors.ResourceExhaustedError:
    return tf.errors.ResourceExhaustedError(None, None, text)


def test_a_gpu_says_what_it_was_asked_for() -> None:
    assert out_of_memory(exhausted(GPU)) == OutOfMemory("GPU", 64 * 512 * 512 * 16 * 2)
    single = GPU.replace("half", "float").replace("64,512,512,16", "")
    assert out_of_memory(exhausted(single)) == OutOfMemory("GPU", 4)


def test_other_ways_to_say_it() -> None:
    compiled = "Out of memory while trying to allocate 1234567 bytes."
    assert out_of_memory(exhausted(compiled)) == OutOfMemory("GPU", 1234567)
    assert out_of_memory(exhausted("failed to allocate a workspace")) == OutOfMemory("GPU")
    assert out_of_memory(tf.errors.InternalError(None, None, "the GPU crashed")) is None


def test_a_cpu_says_it_with_the_tensor_s_shape() -> None:
    with pytest.raises(tf.errors.ResourceExhaustedError) as refused:
        tf.zeros([10**7, 10**7])
    shortage = out_of_memory(refused.value)
    assert shortage is not None
    assert (shortage.device, shortage.requested) == ("CPU", 4 * 10**14)
    assert shortage.available
