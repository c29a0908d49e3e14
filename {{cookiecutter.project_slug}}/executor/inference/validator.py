"""Evaluates models: the one in training on the validation split, any other on any split."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from configs.schema import CFG
from dataloader.batches import Batch, Share, evaluation_batches
from dataloader.decoded import Decoded
from evaluation.evaluator import Collector, Section
from evaluation.task import Task
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.inference.forward import check_outputs, measuring
from ops.loss_functions import Loss

_TRIAL_BATCHES = 2


class Evaluation(NamedTuple):
    """What the evaluation of a whole split yields."""

    values: dict[str, float]  # the `loss` of all samples, and what the evaluators yield
    sections: Callable[[], list[Section]]  # what the report shows of it


class Validator:
    """Evaluates models on one decoded split; of several processes each takes a share."""

    def __init__(self, cfg: CFG, loss: Loss, decoded: Decoded, task: Task, device: Device) -> None:
        """Prepare; the section `train`, the seed and the number of workers are used."""
        self._cfg = cfg
        self._train = cfg.train
        self._loss = loss
        self._decoded = decoded
        self._task = task
        self._device = device

    def try_out(self, model: Model) -> dict[str, float]:
        """Evaluate two batches, so that a mistake in a model or metric shows before training."""
        batches = list(islice(self._batches(1), _TRIAL_BATCHES))
        check_outputs(model, self._task.io, batches[0].fields, self._device)
        return self._evaluate(model, batches).values

    def evaluate_part(self, model: Model) -> dict[str, float]:
        """Return the values on the part of the split that `train.val_subsplits` leaves."""
        return self._evaluate(model, self._batches(self._train.val_subsplits)).values

    def evaluate_whole(self, model: Model) -> Evaluation:
        """Return the values on the whole split, and what the report shows."""
        collectors = self._task.collectors(self._decoded.names, self._cfg.run.seed)
        return self._evaluate(model, self._batches(1), collectors)

    def _evaluate(
        self, model: Model, batches: Iterable[Batch], collectors: Sequence[Collector] = ()
    ) -> Evaluation:
        evaluators = self._task.evaluators(self._train)
        sums = np.zeros(2)  # losses and their weights
        with measuring(model, self._task.io, self._loss, self._device) as measure:
            for batch in batches:
                loss, prediction = measure(batch)
                if not batch.counts:
                    continue
                sums += loss * len(batch)
                fields = {**batch.fields, "index": batch.indices}
                for evaluator in evaluators:
                    evaluator.update(fields, prediction)
                for collector in collectors:
                    collector.update(fields, prediction)
        world = self._device.world
        total, weight = world.sum(sums).tolist()
        values = {"loss": total / weight if weight else math.nan}
        for evaluator in evaluators:
            evaluator.totals = world.sum(evaluator.totals)
            values.update(evaluator.results())
        for collector in collectors if world.size > 1 else ():
            collector.join(world.gather(collector.packed()))
        shown = [one for one in (*evaluators, *collectors) if hasattr(one, "section")]
        return Evaluation(values, lambda: [one.section() for one in shown])

    def _batches(self, parts: int) -> Iterator[Batch]:
        world, train = self._device.world, self._train
        size = train.batch_size // train.accumulate  # what fits into memory in training fits here
        share = Share(world.rank, world.size)
        return evaluation_batches(self._decoded, size, (0, parts), share, self._cfg.data.workers)
