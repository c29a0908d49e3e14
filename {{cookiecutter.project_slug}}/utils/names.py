"""Builds objects by the names that a configuration gives."""

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from utils.errors import UserError
from utils.signatures import TargetNotFoundError, qualified


def resolve(target: str, home: str | None = None) -> Any:
    """Import what a target names.

    Args:
        target: `module:object`, nested attributes too (the form of Python entry points).
        home: The module in which a plain name without colon is looked up.

    Raises:
        UserError: If there is no such module or object, or importing it fails.
    """
    try:
        return pkgutil.resolve_name(qualified(target, home))
    except (TargetNotFoundError, ImportError, AttributeError, ValueError) as error:
        raise UserError(f"target {target!r} cannot be imported: {error}") from error


def build(
    target: str,
    arguments: Mapping[str, Any],
    *positional: Any,
    home: str | None = None,
    offered: Mapping[str, Any] | None = None,
) -> Any:
    """Call what a target names; see `resolve` and `call`.

    Raises:
        UserError: If there is no such callable, or the arguments do not fit.
    """
    return call(target, resolve(target, home), arguments, *positional, offered=offered)


def call(
    name: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *positional: Any,
    offered: Mapping[str, Any] | None = None,
) -> Any:
    """Call a function with arguments that a user wrote.

    Args:
        name: What to call it in messages.
        function: The class or function.
        arguments: The keyword arguments that the configuration states.
        *positional: What the caller passes in any case.
        offered: What the caller knows; each is passed only where the function takes that name and
            the configuration does not state it.

    Raises:
        UserError: If the arguments do not fit, or the function refuses their values.
    """
    if not callable(function):
        raise UserError(f"target {name!r} is no class or function but {function!r}")
    keywords = dict(arguments)
    try:
        signature = inspect.signature(function)
    except ValueError:  # compiled code may have none: calling it tells
        return function(*positional, **keywords)
    taken = signature.parameters
    keywords = {**{k: v for k, v in (offered or {}).items() if k in taken}, **keywords}
    try:
        signature.bind(*positional, **keywords)
    except TypeError as error:
        raise UserError(
            f"{name} cannot be called with the configured arguments: {error}.\n"
            f"Its signature: {name}{signature}"
        ) from error
    try:
        return function(*positional, **keywords)
    except ValueError as error:
        raise UserError(f"{name} refuses its arguments: {error}") from error
