"""What a model may return, and how a wrong one is named."""

import numpy as np
import pytest

from ops.outputs import check_outputs, named_outputs
from utils.errors import UserError


def shape(output):
    return list(output.shape) if isinstance(output, np.ndarray) else None


def check(outputs, free=()):
    check_outputs(outputs, ("batch", 3, 4, 4), "images of 4x4", shape, free)


LOGITS = np.zeros((2, 3, 4, 4))


def test_logits_come_first_whatever_holds_them():
    other = np.ones((2, 3, 2, 2))
    assert list(named_outputs(LOGITS)) == ["logits"]
    for outputs in ((LOGITS, other), [LOGITS, other], {"deep": other, "logits": LOGITS}):
        found = list(named_outputs(outputs).values())
        assert found[0] is LOGITS
        assert found[1] is other
    check((LOGITS, other), free=(2, 3))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"out": LOGITS}, "a dictionary of out; one of its names must be 'logits'"),
        (LOGITS[:, :2], r"output 'logits' has the shape \[2, 2, 4, 4\] .* \[batch, 3, 4, 4\]"),
        (LOGITS[..., 0], r"output 'logits' has the shape \[2, 3, 4\]"),
        ("text", "output 'logits' has a str for images of 4x4"),
        ((LOGITS, LOGITS[:, :1]), r"output '\[1\]' has the shape"),
        ({"logits": LOGITS, "deep": None}, "output 'deep' has a NoneType"),
    ],
)
def test_a_wrong_output_is_named(outputs, message):
    with pytest.raises(UserError, match=message):
        check(outputs, free=(2, 3))


def test_auxiliary_outputs_need_their_size_where_none_is_free():
    with pytest.raises(UserError, match=r"'\[1\]'"):
        check((LOGITS, LOGITS[..., :2]))
