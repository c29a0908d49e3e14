"""Optimizer steps: forward, backward, checks, update; several of them in one call of a graph."""

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np

from configs.schema import CFG
from dataloader.batches import Batch
from executor.devices.device import Device
from executor.devices.tensors import signature_of
from executor.distributed.sync_batch_norm import losses_of_layers
from executor.training.loop_state import SkippedBatch, StepMetrics
from executor.training.state import TrainState
from ops.loss_functions import Loss
from ops.task import ModelIO
from ops.weighted_loss import mean, per_element
from utils import seeding
from utils.framework import keras, tf

_SEEDS = (1 << 31) - 2  # Keras takes the states of its generators modulo this number
_REPLICA_SEEDS = 1 << 26  # so far apart that no replica draws the numbers of another
_DRAWS_A_STEP = 1 << 16  # from one generator; more would repeat those of the next


class TrainStep:
    """Takes the run's state from one step to the next.

    Small steps spend most of their time between Python and the graph. So the graph holds a loop
    over the steps of a call; their number is an input, so it is traced once.
    """

    def __init__(
        self, cfg: CFG, state: TrainState, io: ModelIO, loss: Loss, device: Device
    ) -> None:
        """Prepare what all steps share.

        Args:
            cfg: `train.batch_size`, `accumulate`, `clip_norm` and `run.seed` are used.
            state: What each step changes.
            io: What the model is given, and what its outputs mean.
            loss: What `io.loss` calls.
            device: Where it runs.
        """
        self._state = state
        self._io = io
        self._loss = loss
        self._device = device
        self._parameters = list(state.model.trainable_variables)
        self._statistics = list(state.model.non_trainable_weights)
        self._world = device.world
        self._world.take_over(state.optimizer)
        # Each replica sees other samples; with averaged statistics all have the same model.
        self._averaged = [v for v in self._statistics if v.dtype.startswith(("float", "bfloat"))]
        self._batch_size = cfg.train.batch_size
        self._accumulate = cfg.train.accumulate
        self._is_whole = self._accumulate == 1 and self._world.replicas == 1  # nothing to add up
        self._part_size = self._batch_size // self._accumulate // self._world.replicas
        self._clip_norm = cfg.train.clip_norm
        self._seed = int(seeding.generator(cfg.run.seed, seeding.FRAMEWORK).integers(_SEEDS))
        several = self._world.replicas > self._world.size
        self._takes_turns = several and cfg.executor.sync_batch_norm
        self._learning: list[bool] = []  # which parameters have a gradient; known once traced
        self._part: Any = self._gradients_of_part
        if cfg.executor.compile:
            self._part = tf.function(self._part, autograph=False, jit_compile=True)
        self._run: Any = self._steps if cfg.executor.eager else None  # traced for the first chunk

    def __call__(self, chunk: Batch) -> list[StepMetrics]:
        """Take one or more steps, in one call of the graph.

        Args:
            chunk: The samples of the steps, one step's after the other's.

        Returns:
            What each step measured. The last one is skipped where loss or gradient is not finite:
            it has changed no weight, and the steps after it are not taken.
        """
        state, size = self._state, self._batch_size
        first = state.loop_state.step
        count = len(chunk.indices) // size
        rates = [float(state.schedule(first + number)) for number in range(count)]
        if self._run is None:
            signature = [signature_of(chunk.fields), tf.TensorSpec([None], tf.float32)]
            signature.append(tf.TensorSpec([], tf.int64))
            self._run = tf.function(self._steps, input_signature=signature, autograph=False)
        arrays = (chunk.fields, np.array(rates, np.float32), np.int64(first))
        with self._world.exchanging(), self._device.compiling():
            results, is_good = self._run(*arrays)
            # Reading the results waits for the call to end.
            rows: list[tuple[float, float]] = results.numpy().tolist()
        taken: list[StepMetrics] = []
        for number, (loss, norm) in enumerate(rows):
            state.after_step(chunk.position + (number + 1) * size)
            taken.append(StepMetrics(state.loop_state.step, loss, norm, rates[number]))
        if not is_good:
            start = (len(rows) - 1) * size
            indices = tuple(chunk.indices[start : start + size].tolist())
            skipped = SkippedBatch(chunk.position + start, indices)
            taken[-1] = taken[-1]._replace(skipped=skipped)
        return taken

    def _steps(
        self, fields: dict[str, tf.Tensor], rates: tf.Tensor, first: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return loss and gradient norm of each step, float32 [steps, 2], and whether all are good.

        The first step that is not good is the last one taken.

        Args:
            fields: [steps x share of the batch, ...] by name.
            rates: float32 [steps], the learning rate of each.
            first: int64 [], the number of the first, counted from 0.
        """
        count = tf.size(rates)
        share = self._batch_size // self._world.size
        fields = {n: tf.reshape(f, (-1, share, *f.shape[1:])) for n, f in fields.items()}

        def step(
            i: tf.Tensor, _: tf.Tensor, results: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            self._world.each(self._seed_generators, first + tf.cast(i, tf.int64))
            is_good, row = self._step({n: f[i] for n, f in fields.items()}, rates[i])
            return i + 1, is_good, tf.tensor_scatter_nd_update(results, [[i]], [row])

        taken, is_good, results = tf.while_loop(
            lambda i, is_good, _: (i < count) & is_good,
            step,
            (0, True, tf.zeros((count, 2))),
            parallel_iterations=1,
        )
        return results[:taken], is_good

    def _step(self, fields: dict[str, tf.Tensor], rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one step; return whether it was an update, and its loss and gradient norm, [2]."""
        each = self._world.each
        shares = self._world.shares(fields)
        before = each(self._read, self._statistics)
        total, gradients = self._agreed(*self._gradients(shares))
        gradients = each(self._state.scaler.unscale, gradients)
        total, gradients = each(self._divided, total, gradients)
        norms = each(tf.linalg.global_norm, gradients)
        total, norm = self._world.first((total, norms))

        def restore() -> None:
            each(self._assign, self._statistics, before)

        # A gradient scaler expects infinite gradients now and then, and skips their update itself.
        checked = total if self._state.scaler.is_enabled() else [total, norm]
        is_good = tf.reduce_all(tf.math.is_finite(checked))
        tf.cond(is_good, lambda: self._update(gradients, norms, rate), restore)
        return is_good, tf.stack([total, norm])

    def _read(self, variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
        return [tf.identity(variable.value) for variable in variables]

    def _assign(self, variables: Sequence[keras.Variable], values: Sequence[tf.Tensor]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _gradients(self, fields: Any) -> Any:
        """Return loss and gradient of each replica's share of a batch, before the division."""
        together = self._world.together
        if self._accumulate == 1:
            return together(self._part, fields)

        def add(i: tf.Tensor, total: Any, sums: Any) -> tuple[tf.Tensor, Any, Any]:
            return (i + 1, *together(self._with_part, i, fields, total, sums))

        zeros = together(lambda: [tf.zeros(v.shape, v.dtype) for v in self._parameters])
        _, total, sums = tf.while_loop(
            lambda i, *_: i < self._accumulate,
            add,
            (0, together(lambda: tf.zeros(2)), zeros),
            parallel_iterations=1,
        )
        return total, sums

    def _with_part(self, i: Any, fields: Any, total: Any, sums: Any) -> tuple[Any, Any]:
        """Add loss and gradient of an accumulation step to those of the ones before."""
        part = slice(i * self._part_size, (i + 1) * self._part_size)
        loss, gradients = self._part({name: field[part] for name, field in fields.items()})
        return total + loss, [s + g for s, g in zip(sums, gradients, strict=True)]

    def _agreed(self, total: Any, gradients: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Return the means over all replicas, and give all their mean statistics."""
        if self._world.replicas == 1:
            return total, list(gradients)
        statistics = [variable.value for variable in self._averaged]
        total, *rest = self._world.average([total, *gradients, *statistics])
        self._world.each(self._assign, self._averaged, rest[len(gradients) :])
        return total, rest[: len(gradients)]

    def _divided(self, sums: tf.Tensor, gradients: Sequence[Any]) -> tuple[tf.Tensor, list[Any]]:
        """Return loss and gradient of a whole batch, given its sum and weight."""
        if self._is_whole:
            return sums[0], list(gradients)
        total, weight = tf.unstack(sums)
        weight = tf.where(weight > 0.0, weight, 1.0)
        return total / weight, [gradient / weight for gradient in gradients]

    def _gradients_of_part(self, fields: dict[str, tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the loss and its gradient, of a part: its sum and weight, float32 [2]."""
        with tf.GradientTape() as tape:
            outputs = self._state.model(*self._io.inputs(fields), training=True)
            loss = self._io.loss(self._loss, outputs, fields)
            total, weight = (mean(loss), 1.0) if self._is_whole else per_element(loss)
            added = losses_of_layers(self._state.model, takes_turns=self._takes_turns)
            total = tf.add_n([tf.ensure_shape(total, ()), *(weight * one for one in added)])
            scaled = self._state.scaler.scale(total / self._accumulate)
        variables = [v.value for v in self._parameters]
        gradients = tape.gradient(scaled, variables)
        self._learning = [gradient is not None for gradient in gradients]
        pairs = zip(variables, gradients, strict=True)
        dense = [tf.zeros_like(v) if g is None else tf.convert_to_tensor(g) for v, g in pairs]
        return tf.stack([total, weight]) / self._accumulate, dense

    def _update(self, gradients: Sequence[Any], norms: Any, rate: tf.Tensor) -> None:
        """Change everything that a step changes, but what the model itself changed."""
        state = self._state
        state.optimizer.learning_rate.assign(rate)

        def apply() -> None:
            self._world.each(self._apply, gradients, norms)

        if state.scaler.is_enabled():
            is_finite = tf.math.is_finite(self._world.first(norms))
            tf.cond(is_finite, apply, lambda: None)
            state.scaler.update(is_finite)
        else:
            apply()
        state.after_update()

    def _apply(self, gradients: Sequence[tf.Tensor], norm: tf.Tensor) -> None:
        if self._clip_norm is not None:
            factor = tf.minimum(self._clip_norm / (norm + 1e-6), 1.0)
            gradients = [gradient * factor for gradient in gradients]
        # Parameters without a gradient are left alone, neither moved by momentum nor decayed.
        self._state.optimizer.apply(
            list(compress(gradients, self._learning)),
            list(compress(self._parameters, self._learning)),
        )

    def _seed_generators(self, step: tf.Tensor) -> None:
        """Let the model's random draws follow from the seed and the step, whatever came before."""
        own = self._seed + self._world.replica() * _REPLICA_SEEDS
        for number, state in enumerate(self._state.generators):
            start = (own + step) % _SEEDS
            state.assign(tf.stack([start, tf.constant(number * _DRAWS_A_STEP, tf.int64)]))
