"""Finds, builds and calls objects by the names that a configuration gives."""

import difflib
import importlib
import inspect
import pkgutil
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from utils.errors import UserError
from utils.storage import PROJECT, shown


def resolve(target: str, home: str | None = None) -> Any:
    """Import what a target names: `module:object`, or a plain name of the module `home`.

    It is a UserError if there is no such module or object, or importing the module fails.
    """
    module_name, colon, path = target.partition(":")
    if not colon and home is not None and target.isidentifier():
        return _plain(target, home)
    if not colon or not all(p.isidentifier() for p in (*module_name.split("."), *path.split("."))):
        raise UserError(f"unknown target {target!r}: it has not the form module:object")
    found: Any = _import(module_name, target)
    owner = f"module {module_name!r}"
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            hint = did_you_mean(part, dir(found))
            raise UserError(f"unknown target {target!r}: {owner} has no {part!r}{hint}") from error
        owner = repr(part)
    return found


def build(
    target: str,
    arguments: Mapping[str, Any],
    *positional: Any,
    home: str | None = None,
    offered: Mapping[str, Any] | None = None,
) -> Any:
    """Call what a target names; see `resolve` and `call`."""
    return call(target, resolve(target, home), arguments, *positional, offered=offered)


def call(
    name: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *positional: Any,
    offered: Mapping[str, Any] | None = None,
) -> Any:
    """Call a function or class, `name` in messages, with arguments that a user wrote.

    What is `offered` is passed where the function takes that name and the user did not state it.

    Raises:
        UserError: If the arguments do not fit, or the function refuses their values.
    """
    if not callable(function):
        raise UserError(f"target {name!r} is no class or function but {function!r}")
    keywords = completed(function, arguments, offered or {})
    try:
        signature = inspect.signature(function)
    except ValueError:  # compiled code may have none
        return function(*positional, **keywords)
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


def completed(
    function: Callable[..., Any], arguments: Mapping[str, Any], offered: Mapping[str, Any]
) -> dict[str, Any]:
    """Return arguments with those added that are offered, taken by the function and not stated."""
    try:
        taken = inspect.signature(function).parameters
    except ValueError:  # compiled code may have none
        return dict(arguments)
    return {**{name: offered[name] for name in offered if name in taken}, **arguments}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'this'?` for the known name that is nearest; "" if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _plain(name: str, home: str) -> Any:
    """Return a public function or class that the module `home` defines itself."""
    module = _import(home, name)
    known = {
        key: value
        for key, value in vars(module).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == home
        and not key.startswith("_")
    }
    if name not in known:
        hint = did_you_mean(name, known) or "."
        listed = ", ".join(known)
        raise UserError(f"unknown name {name!r}{hint} Known: {listed}, or any module:object")
    return known[name]


def _import(name: str, target: str) -> ModuleType:
    """Import a module for a target; whatever its code raises is one message that names it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise _failed(name, error) from error
        raise UserError(f"unknown target {target!r}: {_no_module(missing)}") from error
    except Exception as error:
        raise _failed(name, error) from error


def _no_module(name: str) -> str:
    """Return that a module is missing, and the module beside it with the most similar name."""
    package, _, last = name.rpartition(".")
    path = getattr(importlib.import_module(package), "__path__", []) if package else [str(PROJECT)]
    names = (module.name for module in pkgutil.iter_modules(path))
    near = difflib.get_close_matches(last, list(names), n=1)
    hint = f"; did you mean {f'{package}.{near[0]}'.lstrip('.')!r}?" if near else ""
    return f"there is no module {last!r}{f' in {package!r}' if package else ''}{hint}"


def _failed(name: str, error: Exception) -> UserError:
    """Return the message for a module whose import raised an error, with the line that did."""
    if isinstance(error, UserError):
        return UserError(f"module {name!r} cannot be imported: {error}")
    if isinstance(error, SyntaxError):
        text, file, line = error.msg, error.filename, error.lineno
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        text, file, line = str(error), last.filename, last.lineno
    where = f" ({shown(file)}:{line})" if file else ""
    return UserError(f"module {name!r} cannot be imported: {type(error).__name__}: {text}{where}")
