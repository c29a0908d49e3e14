"""What models return: logits, alone or with the outputs of auxiliary heads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from utils.errors import UserError

LOGITS = "logits"


def named_outputs(outputs: Any) -> dict[str, Any]:
    """Return a model's outputs by name, the logits first.

    A model returns logits; or a tuple of logits and auxiliary outputs, in this order; or a
    dictionary with `logits` and auxiliary outputs by any name. A UserError says that `logits` are
    missing.
    """
    if isinstance(outputs, Mapping):
        if LOGITS not in outputs:
            found = ", ".join(map(str, outputs)) or "nothing"
            raise UserError(
                f"the model returned a dictionary of {found}; one of its names must be {LOGITS!r}."
            )
        return {LOGITS: outputs[LOGITS], **outputs}
    if isinstance(outputs, tuple | list) and outputs:
        return {LOGITS: outputs[0], **{f"[{i}]": o for i, o in enumerate(outputs) if i}}
    return {LOGITS: outputs}


def check_outputs(
    outputs: Any,
    expected: Sequence[int | str],
    of: str,
    shape_of: Callable[[Any], list[int] | None],
    free: Sequence[int] = (),
) -> None:
    """Raise a UserError if a model returned anything but logits, and outputs like them.

    Args:
        outputs: What the model returned.
        expected: The shape of logits; a text stands for any number.
        of: What the model was given, in the message.
        shape_of: Returns the shape of a tensor, and None for anything else.
        free: The axes along which auxiliary outputs may have another size.
    """
    for name, output in named_outputs(outputs).items():
        shape = shape_of(output)
        any_size = set(free) if name != LOGITS else set()
        fits = shape is not None and len(shape) == len(expected)
        fits = fits and all(
            isinstance(wanted, str) or axis in any_size or size == wanted
            for axis, (size, wanted) in enumerate(zip(shape or (), expected, strict=True))
        )
        if not fits:
            found = f"a {type(output).__name__}" if shape is None else f"the shape {shape}"
            raise UserError(
                f"the model's output {name!r} has {found} for {of}; expected "
                f"[{', '.join(map(str, expected))}]."
            )
