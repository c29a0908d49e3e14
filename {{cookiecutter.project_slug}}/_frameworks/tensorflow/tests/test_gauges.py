"""What TensorFlow says when memory runs out is understood, on devices that are not here too."""

import pytest
import tensorflow as tf

from executor.gauges import shortage_of
from executor.values import Shortage

GPU = (
    "Graph execution error:\n\nDetected at node ...\nOOM when allocating tensor with "
    "shape[64,512,512,16] and type half on /job:localhost/replica:0/task:0/device:GPU:0 by "
    "allocator GPU_0_bfc\n\t [[{{node Conv2D}}]]"
)


def exhausted(text: str) -> tf.errors.ResourceExhaustedError:
    return tf.errors.ResourceExhaustedError(None, None, text)


def test_a_gpu_says_what_it_was_asked_for() -> None:
    assert shortage_of(exhausted(GPU)) == Shortage("GPU", 64 * 512 * 512 * 16 * 2)
    single = GPU.replace("half", "float").replace("64,512,512,16", "")
    assert shortage_of(exhausted(single)) == Shortage("GPU", 4)


def test_other_ways_to_say_it() -> None:
    compiled = "Out of memory while trying to allocate 1234567 bytes."
    assert shortage_of(exhausted(compiled)) == Shortage("GPU", 1234567)
    assert shortage_of(exhausted("failed to allocate a workspace")) == Shortage("GPU")
    assert shortage_of(tf.errors.InternalError(None, None, "the GPU crashed")) is None


def test_a_cpu_says_it_with_the_tensor_s_shape() -> None:
    with pytest.raises(tf.errors.ResourceExhaustedError) as refused:
        tf.zeros([10**7, 10**7])
    shortage = shortage_of(refused.value)
    assert shortage is not None
    assert (shortage.where, shortage.asked) == ("CPU", 4 * 10**14)
    assert shortage.there
