"""Reads the parameters of `module:object` from source text, without importing the module.

Importing a framework takes seconds; telling a misspelt argument must not. Where the text alone
cannot tell (compiled code, objects made at run time) the answer is None, and the check that
`utils.names.build` makes on the imported object decides.
"""

import ast
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

_MAX_DEPTH = 20  # re-exports followed before giving up; a cycle ends here too


@dataclass(frozen=True)
class Parameters:
    """What can be passed to a callable."""

    names: tuple[str, ...]
    """Parameters that can be given by name, in order."""
    required: frozenset[str]
    """Those without a default."""
    accepts_any: bool
    """Whether there is a `**kwargs`."""
    annotations: Mapping[str, ast.expr | None] = field(default_factory=dict, compare=False)
    """What stands behind the colon of each, as syntax trees (see `utils.annotations`)."""


class TargetNotFoundError(Exception):
    """A target names no module or no object; the message says which, and what is there."""


@dataclass(frozen=True)
class _Module:
    name: str
    is_package: bool
    tree: ast.Module


def qualified(target: str, home: str | None) -> str:
    """Return a target in the form `module:object`; a plain name is looked for in `home`.

    Raises:
        TargetNotFoundError: If the target is a plain name and there is no home, or it is malformed.
    """
    module, colon, name = target.partition(":")
    if not colon and home is not None and target.isidentifier():
        return f"{home}:{target}"
    parts = [*module.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise TargetNotFoundError(f"{target!r} has not the form module:object")
    return target


def parameters_of(target: str) -> Parameters | None:
    """Return the parameters of `module:object`, or None where the text cannot tell.

    Args:
        target: `module:object` or `module:object.attribute`.

    Raises:
        TargetNotFoundError: If the module or the object does not exist.
    """
    module_name, _, name = target.partition(":")
    module = _module(module_name)
    if module is None:
        return None
    scope: _Module | None = module
    node: ast.AST | None = module.tree
    for part in name.split("."):
        if scope is None or node is None:
            return None
        found = _lookup(scope, node, part, 0)
        if found is None:
            return None
        scope, node = found
    return _parameters(scope, node, 0) if scope is not None and node is not None else None


def public_names(module_name: str) -> list[str]:
    """Return the public functions and classes that a module defines itself; none if it is gone."""
    try:
        module = _module(module_name)
    except TargetNotFoundError:
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    body = [] if module is None else module.tree.body
    return [n.name for n in body if isinstance(n, kinds) and not n.name.startswith("_")]


@cache
def _module(name: str) -> _Module | None:
    """Find and parse a module; None if it is no Python text."""
    spec, path = None, None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), path)
        if spec is None:
            where = ".".join(parts[: depth - 1])
            near = difflib.get_close_matches(parts[depth - 1], _submodules(path), n=1)
            hint = f"; did you mean {'.'.join([*parts[: depth - 1], near[0]])!r}?" if near else ""
            inside = f" in {where!r}" if where else ""
            raise TargetNotFoundError(f"there is no module {parts[depth - 1]!r}{inside}{hint}")
        path = spec.submodule_search_locations
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    tree = ast.parse(Path(spec.origin).read_bytes())
    return _Module(name, spec.submodule_search_locations is not None, tree)


def _submodules(path: object) -> list[str]:
    """List what lies in a package, or beside main.py, to suggest from."""
    folders = [Path(str(p)) for p in path] if path is not None else [Path(__file__).parents[1]]  # type: ignore[attr-defined]
    return [
        entry.stem
        for folder in folders
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.suffix == ".py" or (entry.is_dir() and (entry / "__init__.py").exists())
    ]


def _lookup(
    module: _Module, scope: ast.AST, name: str, depth: int
) -> tuple[_Module | None, ast.AST | None] | None:
    """Find a name in a module or class body; None if only running the code could tell."""
    if depth > _MAX_DEPTH or not isinstance(scope, ast.Module | ast.ClassDef):
        return None
    stars = []
    known = []
    for node in _statements(scope.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            known.append(node.name)
            if node.name == name:
                return module, node
        elif isinstance(node, ast.ImportFrom):
            names = {alias.asname or alias.name: alias.name for alias in node.names}
            known += names
            source = _absolute(module, node)
            if name in names:
                return _imported(source, names[name], depth)
            stars += [source] if "*" in names else []
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                return None
    for source in stars:
        try:
            return _imported(source, name, depth)
        except TargetNotFoundError:
            continue
    if isinstance(scope, ast.ClassDef) or "__getattr__" in known or stars:
        return None
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise TargetNotFoundError(f"module {module.name!r} has no {name!r}{hint}")


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return a body's statements with those below `if` and `try` beside them."""
    result = []
    for node in body:
        result.append(node)
        if isinstance(node, ast.If | ast.Try):
            result += _statements([*node.body, *node.orelse])
    return result


def _imported(source: str, name: str, depth: int) -> tuple[_Module | None, ast.AST | None] | None:
    module = _module(source)
    return None if module is None else _lookup(module, module.tree, name, depth + 1)


def _absolute(module: _Module, node: ast.ImportFrom) -> str:
    """Return the absolute name of what a `from ... import` reads from."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    base = parts[: len(parts) - node.level + (1 if module.is_package else 0)]
    return ".".join([*base, *([node.module] if node.module else [])])


def _parameters(module: _Module, node: ast.AST, depth: int) -> Parameters | None:
    if isinstance(node, ast.FunctionDef):
        return _of_function(node, is_method=False)
    if not isinstance(node, ast.ClassDef) or depth > _MAX_DEPTH or node.keywords:
        return None
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return _of_dataclass(node)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _of_function(item, is_method=True)
        if isinstance(item, ast.FunctionDef) and item.name == "__new__":
            return None
    if not node.bases:
        return Parameters((), frozenset(), accepts_any=False)
    if not isinstance(node.bases[0], ast.Name):
        return None
    try:
        found = _lookup(module, module.tree, node.bases[0].id, depth)
    except TargetNotFoundError:  # a builtin, or a name bound in a way that is not followed
        return None
    if found is None or found[0] is None or found[1] is None:
        return None
    return _parameters(found[0], found[1], depth + 1)


def _of_function(node: ast.FunctionDef, *, is_method: bool) -> Parameters:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    without_default = positional[: len(positional) - len(arguments.defaults)]
    required = {argument.arg for argument in without_default}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            required.add(argument.arg)
    annotations = {a.arg: a.annotation for a in (*positional, *arguments.kwonlyargs)}
    names = list(annotations)
    if is_method:
        required.discard(names[0])
        names = names[1:]
    accepts_any = arguments.kwarg is not None
    return Parameters(tuple(names), frozenset(required), accepts_any, annotations)


def _of_dataclass(node: ast.ClassDef) -> Parameters | None:
    if node.bases:  # fields of the bases would have to be joined in their order
        return None
    fields = [
        item
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and "ClassVar" not in ast.unparse(item.annotation)
    ]
    if any(isinstance(item.value, ast.Call) for item in fields):  # field(init=False) and the like
        return None
    names = tuple(item.target.id for item in fields if isinstance(item.target, ast.Name))
    required = {name for name, item in zip(names, fields, strict=True) if item.value is None}
    annotations = {name: item.annotation for name, item in zip(names, fields, strict=True)}
    return Parameters(names, frozenset(required), accepts_any=False, annotations=annotations)
