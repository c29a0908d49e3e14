"""Imports every object that the configuration names, and checks its arguments."""

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from configs.calling import OPTIMIZER_POSITIONAL, SCHEDULE_POSITIONAL
from configs.schema import CFG, Component
from configs.yaml_text import Path
from utils.errors import UserError
from utils.names import did_you_mean, resolve

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_IN_ORDER = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

OPTIMIZER_INPUTS = ("named_parameters", "model")
"""What an optimizer of one's own may take in place of the parameters."""


@dataclass(frozen=True)
class Place:
    """A field that holds a component: how its target is found and called."""

    path: Path
    component: Component
    home: str | None = None
    """The module in which plain names are looked up."""
    positional: int = 0
    """How many arguments the caller passes before the configured ones."""
    offered: tuple[str, ...] | None = ()
    """Arguments that the caller fills in where the target takes them and the YAML does not say;
    None: nobody knows which."""
    instead: tuple[str, ...] = ()
    """Offered too; a target that takes one of them is passed nothing before those configured."""


def positional(target: str, foreign: int) -> int:
    """Return how many arguments an optimizer or schedule is given before the configured ones.

    A plain name's function takes one, any `module:object` those of the framework's own classes.
    """
    return foreign if ":" in target else 1


def places(cfg: CFG) -> Iterator[Place]:
    """Yield every component of a configuration."""
    data, train = cfg.data, cfg.train
    facts = _facts(cfg.task.target)
    yield Place(("task",), cfg.task, offered=facts)
    yield Place(("data", "source"), data.source)
    yield Place(("data", "sampler"), data.sampler, "dataloader.samplers", 1)
    for index, transform in enumerate(data.transforms):
        yield Place(("data", "transforms", index), transform, "ops.augment", 2, facts)
    for index, transform in enumerate(data.batch_transforms):
        yield Place(("data", "batch_transforms", index), transform, None, 2, facts)
    for index, callback in enumerate(cfg.run.callbacks):
        yield Place(("run", "callbacks", index), callback)
    yield Place(("model",), cfg.model, offered=facts)
    yield Place(("train", "loss"), train.loss, "ops.losses", offered=facts)
    count = positional(train.optimizer.target, OPTIMIZER_POSITIONAL)
    path = ("train", "optimizer")
    yield Place(path, train.optimizer, "ops.optimizers", count, instead=OPTIMIZER_INPUTS)
    count = positional(train.schedule.target, SCHEDULE_POSITIONAL)
    path, steps = ("train", "schedule"), ("total_steps", "initial_learning_rate")
    yield Place(path, train.schedule, "ops.lr_schedules", count, steps)
    for index, metric in enumerate(train.metrics):
        yield Place(("train", "metrics", index), metric, "evaluation.metrics", 2)
    for index, evaluator in enumerate(train.evaluators):
        yield Place(("train", "evaluators", index), evaluator, offered=facts)


def _facts(task: str) -> tuple[str, ...] | None:
    """Return the names of what a source says to the task, and to everything built for it."""
    try:
        return tuple(getattr(resolve(task), "facts", ()))
    except UserError:  # `target_problems` says so
        return None


def target_problems(place: Place) -> Iterator[tuple[Path, str]]:
    """Yield (path, message) for a target that cannot be called, or arguments that do not fit."""
    target = place.component.target
    try:
        function = resolve(target, place.home)
    except UserError as error:
        yield (*place.path, "target"), str(error)
        return
    if not callable(function):
        yield (*place.path, "target"), f"{target!r} is no class or function but {function!r}"
        return
    try:
        try:
            signature = inspect.signature(function, eval_str=True)
        except (NameError, TypeError, AttributeError):  # an annotation for type checkers only
            signature = inspect.signature(function)
    except ValueError:  # compiled code may have none
        return
    yield from _argument_problems(place, signature.parameters)


def _argument_problems(
    place: Place, parameters: Mapping[str, inspect.Parameter]
) -> Iterator[tuple[Path, str]]:
    target, given = place.component.target, place.component.arguments
    in_order = [name for name, p in parameters.items() if p.kind in _IN_ORDER]
    takes_instead = not parameters.keys().isdisjoint(place.instead)
    passed = set() if takes_instead else set(in_order[: place.positional])
    own = {n: p for n, p in parameters.items() if p.kind in _NAMED and n not in passed}
    offered = (*(own if place.offered is None else place.offered), *place.instead)
    accepts_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for name, value in given.items():
        if name in own and not _fits(value, own[name].annotation):
            expected = inspect.formatannotation(own[name].annotation)
            expected = expected.replace("collections.abc.", "").replace("typing.", "")
            yield (*place.path, name), f"{target} expects {expected}, received {value!r}"
        if name not in own and not accepts_any:
            hint = did_you_mean(name, own) or "."
            takes = ", ".join(own) or "no arguments"
            yield (*place.path, name), f"{target} has no argument {name!r}{hint} It takes: {takes}"
    for name, parameter in own.items():
        is_required = parameter.default is inspect.Parameter.empty
        if is_required and name not in given and name not in offered:
            yield place.path, f"{target} needs the argument {name!r}"


def _fits(value: Any, annotation: Any) -> bool:
    """Return whether a value of the YAML may be passed where an annotation stands.

    JSON's rules fit YAML's values: a list may stand for a tuple, a whole number for a float, and
    nothing else is converted. What pydantic does not know, arrays for one, fits anything.
    """
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return True
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(strict=True))
    except (PydanticUserError, TypeError):
        return True
    try:
        adapter.validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True
