"""The frameworks' trees have one shape: the same files, public names and signatures.

Read from the source text, since no environment holds both frameworks.
"""

import ast
from pathlib import Path

import pytest

from conftest import FRAMEWORKS, REPOSITORY, TASKS

TREES = REPOSITORY / "{{cookiecutter.project_slug}}" / "_parts"
FIRST, *OTHERS = FRAMEWORKS
# What works around something that only this framework has, or adds what only the other one has.
ITS_OWN = {
    "pytorch": {
        # torchrun is watched through notes of the processes.
        *(f"executor/launch/rank.py:{name}" for name in ("NOTES", "RUNS", "SEEN")),
        # TensorFlow takes arrays as they are, and compiles a step as a whole.
        *(
            f"executor/devices/device.py:Device.{name}"
            for name in ("arranged", "autocast", "compiled", "move")
        ),
        "model/mobilenet_unet.py:MobileNetUNet.train",
        # A model that lies on several processes, and gradients that are exchanged by PyTorch.
        *(
            f"executor/distributed/world.py:World.{name}"
            for name in ("accumulating", "shard", "wrapped")
        ),
        *(
            f"executor/devices/tensors.py:{name}"
            for name in ("gather_full", "shard_like", "shard_state_dict")
        ),
        *("components.py", "docs/torchx.md"),
    },
    "tensorflow": {
        "utils/framework.py",
        *("executor/training/state.py:AveragedModel", "executor/training/state.py:GradScaler"),
        "executor/training/state.py:TrainState.generators",
        # Graphs, and what they have to know about their inputs.
        *(
            "executor/devices/device.py:Device.inference",
            "executor/devices/tensors.py:signature_of",
        ),
        "ops/task.py:ModelIO.placeholders",
        # Names that Keras does not have in its models; PyTorch's `named_parameters`.
        "executor/devices/tensors.py:named_variables",
        *("executor/distributed/mirrored.py", "executor/distributed/world.py:World.connect"),
        # Its exchanges have no time-out of their own that one would want.
        "executor/distributed/world.py:World.exchanging",
        # Several replicas of a model in one process.
        *(
            f"executor/distributed/world.py:World.{name}"
            for name in ("apart", "each", "first", "replica", "shares", "take_over", "together")
        ),
        # The losses that layers of Keras add do not go with layers that synchronise.
        "executor/distributed/sync_batch_norm.py:losses_of_layers",
        "model/keras_layers.py",
    },
}
METHODS = {"__init__", "__call__", "__str__", "forward", "call"}
# Where a model does its work has the name that the framework gives it.
SAME = {"call": "forward"}

Shape = dict[str, object]


def sources(framework: str) -> dict[str, Path]:
    """Map each path of a framework to the template's file, "task path" where tasks differ."""
    found = {}
    for tree in TREES.glob("*/"):
        *others, last = tree.name.split(",")
        if last == f"framework={framework}":
            tasks = [one.partition("=")[2] + " " for one in others if one.startswith("task=")]
            for path in tree.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    found["".join(tasks) + path.relative_to(tree).as_posix()] = path
    return found


def plain(path: str) -> str:
    """Return a path as it is in a project."""
    return path.rpartition(" ")[2]


def paths(framework: str) -> set[str]:
    """List a framework's files, but for those that only it can have."""
    return {path for path in sources(framework) if plain(path) not in ITS_OWN[framework]}


def modules(framework: str) -> set[str]:
    found = {path for path in paths(framework) if path.endswith(".py")}
    return {path for path in found if not plain(path).startswith("tests/")}


def shape(framework: str, path: str) -> Shape:
    """Return the public names of a module with their signatures, but for the framework's own."""
    tree = ast.parse(sources(framework)[path].read_text(encoding="utf-8"))
    found = flat(names_of(tree.body))
    own = {one.partition(":")[2] for one in ITS_OWN[framework] if one.startswith(f"{plain(path)}:")}
    assert own <= found.keys() | {name.partition(".")[0] for name in found}
    return {name: found[name] for name in found if not own & {name, name.partition(".")[0]}}


def flat(names: Shape) -> Shape:
    """Return methods beside functions, as "Class.method"."""
    result: Shape = {}
    for name, what in names.items():
        if isinstance(what, dict):
            result[name] = "a class"
            result.update((f"{name}.{inner}", value) for inner, value in what.items())
        else:
            result[name] = what
    return result


def names_of(body: list[ast.stmt]) -> Shape:
    found: Shape = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and is_public(node.name):
            found[SAME.get(node.name, node.name)] = signature(node)
        elif isinstance(node, ast.ClassDef) and is_public(node.name):
            found[node.name] = names_of(node.body)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
                continue  # a class of the framework, which may be imported by this name as well
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            found.update((name, "a value") for name in names if is_public(name))
    return found


def is_public(name: str) -> bool:
    return not name.startswith("_") or name in METHODS


def signature(node: ast.FunctionDef) -> object:
    """Return names, kinds and defaults of the parameters; types belong to the framework."""
    a = node.args
    plain = [argument.arg for argument in (*a.posonlyargs, *a.args)]
    defaults = [ast.unparse(default) for default in a.defaults]
    if plain[-1:] == ["training"]:  # in Keras the caller says so, in PyTorch the model knows
        plain, defaults = plain[:-1], defaults[:-1]
    named = [
        (argument.arg, default and ast.unparse(default))
        for argument, default in zip(a.kwonlyargs, a.kw_defaults, strict=True)
    ]
    decorators = sorted(ast.unparse(decorator) for decorator in node.decorator_list)
    more = (a.vararg and a.vararg.arg, a.kwarg and a.kwarg.arg)
    return plain, defaults, named, more, "property" in decorators


def test_what_is_compared_is_there():
    assert FRAMEWORKS == ("pytorch", "tensorflow")
    assert all((TREES / f"framework={framework}").is_dir() for framework in FRAMEWORKS)
    assert "model/mobilenet_v2.py" in modules(FIRST)  # of a part
    assert {f"{task} ops/task.py" for task in TASKS} <= modules(FIRST)
    assert {"TrainStep.__init__", "TrainStep.__call__"} <= shape(
        FIRST, "executor/training/step.py"
    ).keys()
    assert signature(ast.parse("def f(a, b=1, *, c=None): ...").body[0]) == (
        (["a", "b"], ["1"], [("c", "None")], (None, None), False)
    )


@pytest.mark.parametrize("other", OTHERS)
def test_the_same_files(other: str):
    assert paths(other) == paths(FIRST)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("path", sorted(modules(FIRST)))
def test_the_same_public_names_and_signatures(path: str, other: str):
    assert shape(other, path) == shape(FIRST, path)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_only_one_framework_has_is_there(framework: str):
    paths = {one.partition(":")[0] for one in ITS_OWN[framework]}
    assert paths <= {plain(path) for path in sources(framework)}
