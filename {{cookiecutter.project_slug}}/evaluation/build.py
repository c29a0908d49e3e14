"""Builds the evaluators that a configuration asks for."""

import functools
from collections.abc import Sequence

from configs.schema import Train
from evaluation.confusion import ConfusionMatrix
from evaluation.evaluator import Evaluator
from utils.names import build, resolve


def build_evaluators(
    train: Train, class_names: Sequence[str], ignore_index: int
) -> tuple[ConfusionMatrix, list[Evaluator]]:
    """Return a fresh confusion matrix with the configured metrics, and all evaluators with it.

    Raises:
        UserError: If one of `train.metrics` or `train.evaluators` cannot be built.
    """
    metrics = [
        functools.partial(resolve(metric.target, "evaluation.metrics"), **metric.arguments)
        for metric in train.metrics
    ]
    confusion = ConfusionMatrix(len(class_names), ignore_index, metrics, class_names)
    offered: dict[str, object] = {"class_names": class_names, "ignore_index": ignore_index}
    offered["num_classes"] = len(class_names)
    others = [build(e.target, e.arguments, offered=offered) for e in train.evaluators]
    return confusion, [confusion, *others]
