"""One optimizer step: forward, backward, checks, update."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from configs.schema import CFG
from dataloader.batches import Batch
from executor.devices.device import Device
from executor.devices.tensors import gather_full
from executor.training.loop_state import SkippedBatch, StepMetrics
from executor.training.state import TrainState
from ops.loss_functions import Loss
from ops.task import ModelIO
from ops.weighted_loss import LossValue, mean, per_element
from utils import seeding
from utils.errors import UserError

_ONE_VALUE = "more than 1 value per channel"  # what PyTorch says of it
_RANK_SEEDS = 1 << 48  # so far apart that no process draws the numbers of another

_MicroBatch = tuple[tuple[Tensor, ...], dict[str, Tensor]]  # the model's inputs, and all fields


class TrainStep:
    """Takes the run's state from one step to the next."""

    def __init__(
        self, cfg: CFG, state: TrainState, io: ModelIO, loss: Loss, device: Device
    ) -> None:
        """Prepare what all steps share.

        Args:
            cfg: `train.batch_size`, `accumulate`, `clip_norm`, `on_divergence` and `run.seed` are
                used.
            state: What each step changes.
            io: What the model is given, and what its outputs mean.
            loss: What `io.loss` calls.
            device: Where it runs.
        """
        self._state = state
        self._io = io
        self._loss = loss
        self._device = device
        self._world = device.world
        self._wrapped = state.model  # with `ddp` another one, once the first samples are there
        self._forward: Any = None  # what is called: the one above, or compiled
        self._parameters = [p for g in state.optimizer.param_groups for p in g["params"]]
        buffers = list(state.model.buffers())
        # Each process sees other samples; with averaged statistics all have the same model.
        self._averaged = [buffer for buffer in buffers if buffer.is_floating_point()]
        # With another policy the state that a skipped step leaves is never used again.
        self._restored = buffers if cfg.train.on_divergence == "skip" else []
        self._batch_size = cfg.train.batch_size
        self._accumulate = cfg.train.accumulate
        self._is_whole = self._accumulate == 1 and self._world.size == 1  # nothing to add up
        self._clip_norm = cfg.train.clip_norm
        self._seed = int(seeding.generator(cfg.run.seed, seeding.FRAMEWORK).integers(1 << 48))

    def __call__(self, chunk: Batch) -> list[StepMetrics]:
        """Take one or more steps.

        Args:
            chunk: The samples of the steps, one step's after the other's.

        Returns:
            What each step measured. The last one is skipped where loss or gradient is not finite:
            it has changed no weight, and the steps after it are not taken.
        """
        if self._forward is None:
            self._wrapped = self._world.wrapped(self._state.model, leaves_some=self._probe(chunk))
            self._forward = self._device.compiled(self._wrapped)
        micro_batches = self._micro_batches(chunk)
        taken: list[StepMetrics] = []
        with self._device.compiling():
            for start in range(0, len(chunk.indices), self._batch_size):
                indices = chunk.indices[start : start + self._batch_size]
                parts = islice(micro_batches, self._accumulate)
                taken.append(self._step(parts, indices, chunk.position + start))
                if taken[-1].skipped is not None:
                    break
        return taken

    def _step(
        self, micro_batches: Iterable[_MicroBatch], indices: np.ndarray, offset: int
    ) -> StepMetrics:
        """Take one step; its samples begin at `offset` in the stream of samples."""
        state = self._state
        before = [buffer.clone() for buffer in self._restored]
        self._device.seed(self._seed + state.loop_state.step + self._world.rank * _RANK_SEEDS)
        for parameter in self._parameters:
            parameter.grad = None
        total, weight = self._backward(micro_batches)
        state.scaler.unscale_(state.optimizer)
        self._divide(weight)
        norm = float(self._clip())
        loss = float(total) / weight
        rate = float(state.optimizer.param_groups[0]["lr"])
        end = offset + len(indices)
        # A gradient scaler expects infinite gradients now and then, and skips their update itself.
        if not math.isfinite(loss if state.scaler.is_enabled() else loss + norm):
            self._skip(before, end)
            skipped = SkippedBatch(offset, tuple(indices.tolist()))
            return StepMetrics(state.loop_state.step, loss, norm, rate, skipped)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.after_update()
        state.after_step(end)
        return StepMetrics(state.loop_state.step, loss, norm, rate)

    def _backward(self, micro_batches: Iterable[_MicroBatch]) -> tuple[Tensor, float]:
        """Add up loss and gradient of a batch; return the loss, and what to divide both by."""
        scaler = self._state.scaler
        if self._is_whole:
            loss = mean(self._loss_of(self._forward, *next(iter(micro_batches))))
            scaler.scale(loss).backward()
            return loss.detach(), 1.0
        parts = []
        for number, (inputs, fields) in enumerate(micro_batches, start=1):
            is_last = number == self._accumulate
            with self._world.accumulating(self._wrapped, is_last=is_last):
                loss, weight = per_element(self._loss_of(self._forward, inputs, fields))
                scaler.scale(loss / self._accumulate).backward()
            parts.append(torch.stack((loss.detach(), weight)))
        sums = torch.stack(parts).double().mean(dim=0).float()
        self._world.average([sums, *self._averaged])
        return sums[0], float(sums[1]) or 1.0

    def _divide(self, weight: float) -> None:
        """Divide the gradient by the weight of the whole batch."""
        if weight != 1.0:
            torch._foreach_div_([p.grad for p in self._parameters if p.grad is not None], weight)

    def _loss_of(
        self, forward: Any, inputs: tuple[Tensor, ...], fields: Mapping[str, Tensor]
    ) -> LossValue:
        try:
            with self._device.autocast():
                outputs = forward(*inputs)
        except ValueError as error:
            if _ONE_VALUE not in str(error):
                raise
            raise UserError(
                f"a batch normalisation sees a single value a channel ({error}). Raise "
                "train.batch_size, lower train.accumulate or the number of processes, or give the "
                "model larger inputs."
            ) from error
        return self._io.loss(self._loss, outputs, fields)

    def _clip(self) -> Tensor:
        """Return the norm of the whole gradient, and clip it if that is configured."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        # As `torch.nn.utils.get_total_norm`, which first sorts the tensors by device and type. That
        # takes as long again, a twentieth of a small model's step.
        norm = gather_full(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))
        if self._clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self._clip_norm, norm)
        return norm

    def _skip(self, before: Iterable[Tensor], end: int) -> None:
        """End a step without an update: put the running statistics back and move on."""
        state = self._state
        _restore(self._restored, before)
        state.scaler.update(state.scaler.get_scale())  # forgets the step, keeps the factor
        with warnings.catch_warnings():
            # PyTorch suspects a mistake where the schedule moves on before the first update.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            state.after_step(end)

    def _probe(self, chunk: Batch) -> bool:
        """Return whether some parameters take no part, which only DDP must know.

        A pass over the first samples shows it, and changes nothing but gradients.
        """
        if self._world.strategy != "ddp":
            return False
        model = self._state.model
        before = [buffer.clone() for buffer in model.buffers()]
        mean(self._loss_of(model, *next(self._micro_batches(chunk)))).backward()
        _restore(model.buffers(), before)
        return any(parameter.grad is None for parameter in self._parameters)

    def _micro_batches(self, chunk: Batch) -> Iterator[_MicroBatch]:
        """Yield what each forward pass sees, on the device.

        A chunk of several steps, which is small, is made ready at once; of a single step only the
        micro-batch at hand.
        """
        size = self._batch_size // self._accumulate // self._world.size
        samples = len(chunk)
        moved = size if samples <= size * self._accumulate else samples
        for start in range(0, samples, moved):
            some = slice(start, start + moved)
            fields = self._device.move({name: a[some] for name, a in chunk.fields.items()})
            inputs = self._device.arranged(self._io.inputs(fields))
            names, columns = fields.keys(), [tensor.split(size) for tensor in fields.values()]
            rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
            yield from zip(
                zip(*(one.split(size) for one in inputs), strict=True), rows, strict=True
            )


def _restore(buffers: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        buffer.copy_(value)
