"""Checks every object that the configuration names, and its arguments, without importing it."""

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from configs.calling import OPTIMIZER_POSITIONAL, SCHEDULE_POSITIONAL
from configs.schema import CFG, Component
from configs.yaml_text import Path
from utils.annotations import fits
from utils.signatures import (
    Parameters,
    TargetNotFoundError,
    parameters_of,
    public_names,
    qualified,
)


@dataclass(frozen=True)
class Place:
    """A field that holds a component: how its target is found and called."""

    path: Path
    component: Component
    home: str | None = None
    """The module in which plain names are looked up."""
    positional: int = 0
    """How many arguments the caller passes before the configured ones."""
    offered: tuple[str, ...] = ()
    """Arguments that the caller fills in where the target takes them and the YAML does not say."""


def positional(target: str, foreign: int) -> int:
    """Return how many arguments an optimizer or schedule is given before the configured ones.

    Args:
        target: A plain name, whose function always takes one, or `module:object`.
        foreign: What the framework's own classes take (see `configs/calling.py`).
    """
    return foreign if ":" in target else 1


def places(cfg: CFG) -> Iterator[Place]:
    """Yield every component of a configuration."""
    data, train = cfg.data, cfg.train
    classes = ("num_classes", "class_names", "ignore_index")
    yield Place(("data", "source"), data.source)
    for index, transform in enumerate(data.transforms):
        yield Place(("data", "transforms", index), transform, "ops.augment", 3)
    for index, callback in enumerate(cfg.run.callbacks):
        yield Place(("run", "callbacks", index), callback)
    yield Place(("model",), cfg.model, offered=("num_classes", "in_channels", "image_size"))
    yield Place(("train", "loss"), train.loss, "ops.losses", offered=classes)
    count = positional(train.optimizer.target, OPTIMIZER_POSITIONAL)
    yield Place(("train", "optimizer"), train.optimizer, "ops.optimizers", count)
    count = positional(train.schedule.target, SCHEDULE_POSITIONAL)
    steps = ("total_steps", "initial_learning_rate")
    yield Place(("train", "schedule"), train.schedule, "ops.lr_schedules", count, steps)
    for index, metric in enumerate(train.metrics):
        yield Place(("train", "metrics", index), metric, "evaluation.metrics", 2)
    for index, evaluator in enumerate(train.evaluators):
        yield Place(("train", "evaluators", index), evaluator, offered=classes)


def target_problems(place: Place) -> Iterator[tuple[Path, str]]:
    """Yield (path, message) for an unknown target, or for arguments that it does not take."""
    target = place.component.target
    try:
        parameters = parameters_of(qualified(target, place.home))
    except TargetNotFoundError as error:
        yield (*place.path, "target"), _unknown_target(str(error), target, place.home)
        return
    except SyntaxError as error:
        text = f"{target!r} cannot be read: {error.msg} ({error.filename}:{error.lineno})"
        yield (*place.path, "target"), text
        return
    if parameters is not None:
        yield from _argument_problems(place, parameters)


def _unknown_target(error: str, target: str, home: str | None) -> str:
    if home is None or ":" in target:
        return f"unknown target {target!r}: {error}"
    names = public_names(home)
    near = difflib.get_close_matches(target, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown name {target!r}{hint} Known: {', '.join(names)}, or any module:object"


def _argument_problems(place: Place, parameters: Parameters) -> Iterator[tuple[Path, str]]:
    target = place.component.target
    own = parameters.names[place.positional :]
    given = place.component.arguments
    for name, value in given.items():
        annotation = parameters.annotations.get(name)
        if name in own and not fits(value, annotation):
            expected = ast.unparse(annotation) if annotation else ""
            yield (*place.path, name), f"{target} expects {expected}, received {value!r}"
        if name not in own and not parameters.accepts_any:
            near = difflib.get_close_matches(name, own, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            takes = ", ".join(own) or "no arguments"
            yield (*place.path, name), f"{target} has no argument {name!r}{hint} It takes: {takes}"
    for name in own:
        if name in parameters.required and name not in given and name not in place.offered:
            yield place.path, f"{target} needs the argument {name!r}"
