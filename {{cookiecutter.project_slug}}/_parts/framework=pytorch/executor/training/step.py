"""One optimizer step: forward, backward, checks, update."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from configs.schema import CFG
from dataloader.batches import Batch
from executor.devices.compile import Timing, timed
from executor.devices.device import Device
from executor.devices.sandbox import wait_for, without_trace
from executor.devices.tensors import gather_full
from executor.training.loop_state import SkippedBatch, StepMetrics
from executor.training.state import TrainState
from ops.loss_functions import Loss
from utils import seeding

_RANK_SEEDS = 1 << 48  # so far apart that no process draws the numbers of another

_Forward = Callable[[Tensor], Tensor]


class TrainStep:
    """Takes the run's state from one step to the next."""

    def __init__(self, cfg: CFG, state: TrainState, loss: Loss, device: Device) -> None:
        """Prepare what all steps share.

        Args:
            cfg: `train.batch_size`, `accumulate`, `clip_norm`, `on_divergence` and `run.seed` are
                used.
            state: What each step changes.
            loss: Maps float logits [B, C, H, W] and int64 targets [B, H, W] to a scalar.
            device: Where it runs.
        """
        self._state = state
        self._loss = loss
        self._device = device
        self._world = device.world
        self._is_prepared = False  # for which it takes samples
        self._wrapped = state.model
        self._forward: _Forward = state.model
        # Each process sees other samples; with averaged statistics all have the same model.
        self._averaged = [b for b in state.model.buffers() if b.is_floating_point()]
        self._parameters = [p for g in state.optimizer.param_groups for p in g["params"]]
        kinds = {(parameter.device, parameter.dtype) for parameter in self._parameters}
        is_uniform = len(kinds) == 1 and hasattr(torch, "_foreach_norm")
        # With another policy the state that such a step leaves is never used again.
        keeps_statistics = cfg.train.on_divergence == "skip"
        self._statistics = list(state.model.buffers()) if keeps_statistics else []
        # The update can be left to the device where nothing after a step that is not finite counts
        # and the optimizer's kernel leaves out such an update by itself.
        self._is_unwatched = (
            device.runs_behind
            and not keeps_statistics
            and not state.scaler.is_enabled()
            and device.world.strategy != "fsdp"
            and getattr(state.optimizer, "_step_supports_amp_scaling", False)
        )
        self._total_norm = _uniform_norm if is_uniform else torch.nn.utils.get_total_norm
        self._batch_size = cfg.train.batch_size
        self._accumulate = cfg.train.accumulate
        self._clip_norm = cfg.train.clip_norm
        self._seed = int(seeding.generator(cfg.run.seed, seeding.FRAMEWORK).integers(1 << 48))

    def __call__(self, group: Batch) -> Iterator[list[StepMetrics]]:
        """Take the steps of a group of batches.

        Args:
            group: The samples of one or more steps, one step's after the other's.

        Yields:
            What the next steps measured, when the state stands where the last of them ended: one by
            one, or all together where the device works while the host goes on. Where loss or
            gradient is not finite, the step comes alone and has changed no weight.
        """
        if not self._is_prepared:
            self._prepare(group)
        parts = self._parts(group)
        if self._is_unwatched:
            yield self._take_all(parts, group)
            return
        for start in range(0, len(group.indices), self._batch_size):
            indices = group.indices[start : start + self._batch_size]
            yield [self._take(islice(parts, self._accumulate), indices, group.position + start)]

    def time(self, group: Batch) -> Timing:
        """Measure passes forward and backward in the way that the device is set to.

        They leave no trace in the state.

        Args:
            group: The samples of one step.
        """
        model, device = self._state.model, self._device
        images, masks = next(self._parts(group))
        with without_trace(model, device):
            forward = device.compiled(model)

            def take_pass() -> None:
                self._loss_of(forward, images, masks).backward()
                wait_for(device)
                self._forget_gradients()

            return timed(take_pass)

    def _take(
        self, parts: Iterable[tuple[Tensor, Tensor]], indices: np.ndarray, position: int
    ) -> StepMetrics:
        """Do one step with its accumulation steps' images and masks."""
        state = self._state
        before = [buffer.clone() for buffer in self._statistics]
        loss, norm = _read(self._measured(parts).tolist())
        rate = self._rate()
        end = position + len(indices)
        # A gradient scaler expects infinite gradients now and then, and skips their update itself.
        if not math.isfinite(loss if state.scaler.is_enabled() else loss + norm):
            self._leave_out(before, end)
            left_out = SkippedBatch(position, tuple(indices.tolist()))
            return StepMetrics(state.loop_state.step, loss, norm, rate, left_out)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.after_update()
        state.after_step(end)
        return StepMetrics(state.loop_state.step, loss, norm, rate)

    def _take_all(self, parts: Iterator[tuple[Tensor, Tensor]], group: Batch) -> list[StepMetrics]:
        """Do the steps of a group, and wait once for what they measured.

        From a step that is not finite on, no update changes a weight. That step is then returned
        alone: the run ends there, or goes back to a checkpoint.
        """
        state, size = self._state, self._batch_size
        is_bad = torch.zeros((), device=self._device.torch_device)
        measured, rates = [], []
        first = state.loop_state.step
        for end in range(group.position + size, group.position + len(group.indices) + 1, size):
            values = self._measured(islice(parts, self._accumulate))
            rates.append(self._rate())
            is_bad = torch.maximum(is_bad, 1.0 - values.isfinite().all().float())
            self._update_unless(is_bad)
            state.after_update()
            state.after_step(end)
            measured.append(values)
        taken = []
        for i, (row, rate) in enumerate(zip(torch.stack(measured).tolist(), rates, strict=True)):
            loss, norm = _read(row)
            step, start = first + i + 1, i * size
            if not math.isfinite(loss + norm):
                state.loop_state.step, state.loop_state.position = (
                    step,
                    group.position + start + size,
                )
                indices = group.indices[start : start + size]
                left_out = SkippedBatch(group.position + start, tuple(indices.tolist()))
                return [StepMetrics(step, loss, norm, rate, left_out)]
            taken.append(StepMetrics(step, loss, norm, rate))
        return taken

    def _update_unless(self, is_bad: Tensor) -> None:
        """Let the optimizer's kernel decide, as gradient scalers do: 1 for no update."""
        optimizer: Any = self._state.optimizer
        optimizer.grad_scale, optimizer.found_inf = None, is_bad
        optimizer.step()
        del optimizer.grad_scale, optimizer.found_inf

    def _measured(self, parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Go forward and backward; return the losses to be added up, and last the gradient's norm.

        Nothing is read from the device here, which would have to be waited for.
        """
        state = self._state
        self._device.seed(self._seed + state.loop_state.step + self._world.rank * _RANK_SEEDS)
        self._forget_gradients()
        losses = self._agreed(self._backward(parts))
        state.scaler.unscale_(state.optimizer)
        return torch.stack([*losses, self._gradient_norm()])

    def _forget_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def _rate(self) -> float:
        return float(self._state.optimizer.param_groups[0]["lr"])

    def _prepare(self, group: Batch) -> None:
        """Prepare the model for training, knowing whether all of its parameters take part in it.

        With several processes a pass over the first samples tells; it leaves no trace.
        """
        model, leaves_some = self._state.model, False
        if self._world.strategy == "ddp":
            before = [buffer.clone() for buffer in model.buffers()]
            self._loss_of(model, *next(self._parts(group))).backward()
            _put_back(model.buffers(), before)
            leaves_some = any(parameter.grad is None for parameter in self._parameters)
        self._wrapped = self._world.wrapped(model, leaves_some=leaves_some)
        self._forward = self._device.compiled(self._wrapped)
        self._is_prepared = True

    def _leave_out(self, before: Iterable[Tensor], end: int) -> None:
        """End a step without an update: put the running statistics back and move on."""
        state = self._state
        _put_back(self._statistics, before)
        state.scaler.update(state.scaler.get_scale())  # forgets the step, keeps the factor
        with warnings.catch_warnings():
            # PyTorch suspects a mistake where the schedule moves on before the first update.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            state.after_step(end)

    def _backward(self, parts: Iterable[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Add up the gradient of a batch, a part at a time; return what its loss is the sum of."""
        losses = []
        for number, (images, masks) in enumerate(parts, start=1):
            is_last = number == self._accumulate
            with self._world.accumulating(self._wrapped, is_last=is_last):
                loss = self._loss_of(self._forward, images, masks)
                if self._accumulate > 1:
                    loss = loss / self._accumulate
                self._state.scaler.scale(loss).backward()
            losses.append(loss.detach().reshape(()))
        return losses

    def _loss_of(self, forward: _Forward, images: Tensor, masks: Tensor) -> Tensor:
        with self._device.autocast():
            logits = forward(images)
        return self._loss(logits.float(), masks)

    def _agreed(self, losses: list[Tensor]) -> list[Tensor]:
        """Return the mean loss of all processes, and give all the mean of their statistics."""
        if self._world.size == 1:
            return losses
        mean = torch.stack(losses).double().sum().float()
        self._world.average([mean, *self._averaged])
        return [mean]

    def _parts(self, group: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what each accumulation step sees, on the device.

        To a GPU each moves by itself, beside the computing. Elsewhere a group of several steps,
        which is small, is made ready at once, and of a single step only the part at hand.
        """
        size = self._batch_size // self._accumulate // self._world.size
        samples = len(group.images)
        is_single = samples <= size * self._accumulate
        moved = size if is_single or self._device.runs_behind else samples
        slices = [slice(start, start + moved) for start in range(0, samples, moved)]
        pairs = ((group.images[some], group.masks[some]) for some in slices)
        for images, masks in self._device.ahead(pairs):
            ready = (self._device.images(images).split(size), self._device.masks(masks).split(size))
            yield from zip(*ready, strict=True)

    def _gradient_norm(self) -> Tensor:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = gather_full(self._total_norm(gradients))
        if self._clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self._clip_norm, norm)
        return norm


def _read(row: list[float]) -> tuple[float, float]:
    """Return loss and gradient norm from the numbers that `_measured` returns."""
    *losses, norm = row
    return sum(losses), norm


def _put_back(buffers: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        buffer.copy_(value)


def _uniform_norm(gradients: list[Tensor]) -> Tensor:
    """Return the L2 norm of all gradients together; they are of one device and type.

    PyTorch's `get_total_norm` sorts them by those first, and then does the same. The sorting takes
    longer than the norm where the model is small.
    """
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm
