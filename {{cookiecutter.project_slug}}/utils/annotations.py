"""Tells whether a plain value fits an annotation, as far as the annotation's text tells."""

import ast
from typing import Any

_SCALARS = {"bool": bool, "int": int, "str": str}
_SEQUENCES = {"Sequence", "list", "tuple", "Iterable", "Collection"}


def fits(value: Any, annotation: ast.expr | None) -> bool:
    """Return whether a value read from YAML may be passed where an annotation stands.

    Args:
        value: None, a boolean, a number, a text, a list or a dictionary.
        annotation: The annotation's syntax tree. What is not understood (classes of one's own,
            type variables, a missing annotation) fits anything.
    """
    if isinstance(annotation, ast.Constant):
        return value is None if annotation.value is None else True
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return fits(value, annotation.left) or fits(value, annotation.right)
    if isinstance(annotation, ast.Name) and annotation.id == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(annotation, ast.Name) and annotation.id in _SCALARS:
        is_bool = isinstance(value, bool)
        return isinstance(value, _SCALARS[annotation.id]) and is_bool == (annotation.id == "bool")
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        return _fits_generic(value, annotation.value.id, annotation.slice)
    return True


def _fits_generic(value: Any, name: str, inner: ast.expr) -> bool:
    if name == "Literal":
        return value in [c.value for c in ast.walk(inner) if isinstance(c, ast.Constant)]
    if name == "Optional":
        return value is None or fits(value, inner)
    if name not in _SEQUENCES:
        return True
    if not isinstance(value, list):
        return False
    return isinstance(inner, ast.Tuple) or all(fits(item, inner) for item in value)
