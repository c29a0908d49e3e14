"""What a step, its state and a saved state do."""

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.loading import load_config
from configs.schema import CFG
from dataloader.batches import Batch
from dataloader.build import open_source
from executor.checkpoints import checkpoint
from executor.checkpoints.weights import eval_weights, load_strictly, start_from
from executor.devices.device import Device
from executor.devices.tensors import count_parameters, tensors_of, write_tensors
from executor.inference.build import build_loss, build_model, build_task
from executor.training.build import build_state
from executor.training.loop_state import LoopState, SkippedBatch, StepMetrics
from executor.training.state import TrainState
from executor.training.step import TrainStep
from ops.weighted_loss import mean
from utils.errors import UserError
from utils.framework import keras, tf

SMALL = (
    "model.widths=[4]",
    "data.source.image_size=16",
    "train.batch_size=8",
    "executor.device=cpu",
)


class Pixelwise(keras.Model):
    """A network without batch statistics, so that parts of a batch add up to the whole.

    None of its layers has a name or a size before it sees an image, and one of them does nothing.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.blocks = [keras.Sequential([keras.layers.Conv2D(4, 3, padding="same")])]
        self.blocks.append(keras.Sequential([keras.layers.Conv2D(num_classes, 1)]))
        self.unused = keras.layers.Dense(2)

    def build(self, shape: Any) -> None:
        self.unused.build((None, 5))
        super().build(shape)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        for block in self.blocks:
            images = block(images)
        return images


PIXELWISE = "tests_for_executor:Pixelwise"


@pytest.fixture(autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the models above a module with a name."""
    from types import ModuleType

    here = ModuleType("tests_for_executor")
    here.Pixelwise = Pixelwise  # type: ignore[attr-defined]
    folder = tmp_path_factory.mktemp("models")
    (folder / "tests_for_executor.py").write_text("Pixelwise = ...\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, "tests_for_executor", here)


def config(*overrides: str) -> CFG:
    """The default configuration, small; an override of a model replaces its sizes."""
    replaced = tuple(word.split("=")[0] for word in overrides)
    kept = [word for word in SMALL if not word.startswith(replaced or "-")]
    return load_config(None, [*kept, *overrides])


class OneStep:
    """Takes a step, given just its batch."""

    def __init__(self, taken: TrainStep) -> None:
        self.taken = taken

    def __call__(self, samples: Batch) -> StepMetrics:
        [metrics] = self.taken(samples)
        return metrics


def parts(cfg: CFG) -> tuple[TrainState, OneStep]:
    device = Device(cfg)
    return assembled(cfg, device)


def scaled_parts(cfg: CFG) -> tuple[TrainState, OneStep]:
    """Parts that scale their loss as on a GPU with fp16."""
    device = Device(cfg)
    device.precision = "fp16"
    state, step = assembled(cfg, device)
    assert state.scaler.is_enabled()
    return state, step


def assembled(cfg: CFG, device: Device) -> tuple[TrainState, OneStep]:
    source = open_source(cfg.data)
    task = build_task(cfg, source)
    state, loss = build_state(cfg, source, task, 10, device), build_loss(cfg, source, device)
    return state, OneStep(TrainStep(cfg, state, task.io, loss, device))


def batch(seed: int, count: int = 8) -> Batch:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    masks = random.integers(0, 3, (count, 16, 16), dtype=np.uint8)
    return Batch({"image": images, "mask": masks}, np.arange(count), position=seed * count)


def joined(*batches: Batch) -> Batch:
    fields = {name: np.concatenate([b.fields[name] for b in batches]) for name in ("image", "mask")}
    indices = np.concatenate([b.indices for b in batches])
    return Batch(fields, indices, batches[0].position)


def vector(state: TrainState) -> np.ndarray:
    return np.concatenate([v.numpy().ravel() for v in state.eval_model.trainable_variables])


def everything(state: TrainState) -> list[np.ndarray]:
    saved = state.state_dict()
    average = saved["ema"]["model"] if saved["ema"] else {}
    return [*saved["model"].values(), *saved["optimizer"], *average.values()]


def assert_equal(one: TrainState, other: TrainState) -> None:
    for left, right in zip(everything(one), everything(other), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.optimizer=adamw", "train.schedule=cosine", "train.ema_decay=0.5"),
        ("train.optimizer={target: keras.optimizers:Lion, learning_rate: 0.001}",),
        ("train.optimizer=keras.optimizers:Nadam", "model.dropout=0.5", "train.accumulate=2"),
        (
            "train.schedule={target: keras.optimizers.schedules:CosineDecay, "
            "initial_learning_rate: 0.01, decay_steps: 10}",
        ),
    ],
    ids=["adamw", "lion", "nadam", "cosinedecay"],
)
def test_a_saved_state_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    cfg = config(*overrides)
    whole, step_whole = parts(cfg)
    for seed in range(3):
        step_whole(batch(seed))
    checkpoint.save(tmp_path, 3, whole.state_dict())
    resumed, step_resumed = parts(cfg)
    saved = checkpoint.load_newest(tmp_path)
    assert saved is not None
    resumed.load_state_dict(saved)
    for seed in (3, 4):
        assert step_resumed(batch(seed)) == step_whole(batch(seed))
    assert_equal(resumed, whole)
    assert resumed.loop_state == whole.loop_state == LoopState(step=5, sample_offset=40)


def test_a_saved_state_holds_the_random_generators_too(tmp_path: Path) -> None:
    cfg = config("model.dropout=0.5")
    whole, step = parts(cfg)
    step(batch(0))
    (generator,) = whole.state_dict()["generators"]
    checkpoint.save(tmp_path, 1, whole.state_dict())
    resumed, _ = parts(cfg)
    assert not np.array_equal(resumed.state_dict()["generators"][0], generator)
    resumed.load_state_dict(checkpoint.load(tmp_path, 1))
    assert np.array_equal(resumed.state_dict()["generators"][0], generator)


@pytest.mark.parametrize(
    "loss",
    [
        "cross_entropy",
        "{target: cross_entropy, class_weights: [1.0, 5.0, 0.2], label_smoothing: 0.1}",
        "dice",
        "{target: cross_entropy_dice, class_weights: [1.0, 5.0, 0.2]}",
    ],
)
def test_accumulated_parts_of_a_batch_are_the_batch(loss: str) -> None:
    samples = batch(0)
    samples.fields["mask"][:3, 4:] = 255  # pixels that are ignored, not equally many in each part
    results = []
    for accumulate in (1, 4):
        cfg = config(
            f"model={PIXELWISE}",
            f"train.loss={loss}",
            f"train.accumulate={accumulate}",
            "executor.precision=fp32",
        )
        state, step = parts(cfg)
        results.append((step(samples), vector(state)))
    (one, one_weights), (four, four_weights) = results
    assert one.loss == pytest.approx(four.loss, rel=1e-6)
    assert one.grad_norm == pytest.approx(four.grad_norm, rel=1e-5)
    np.testing.assert_allclose(one_weights, four_weights, atol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_taken_together_are_those_taken_one_by_one(accumulate: int) -> None:
    cfg = config("model.dropout=0.5", f"train.accumulate={accumulate}", "train.ema_decay=0.5")
    single, step = parts(cfg)
    together, step_together = parts(cfg)
    batches = [batch(seed) for seed in range(3)]
    taken = step_together.taken(joined(*batches))
    assert taken == [step(b) for b in batches]
    assert [metrics.step for metrics in taken] == [1, 2, 3]
    assert_equal(together, single)
    assert together.loop_state == single.loop_state == LoopState(step=3, sample_offset=24)


def test_a_step_is_traced_once() -> None:
    cfg = config("train.accumulate=2", "train.ema_decay=0.5", "train.clip_norm=1.0")
    state, step = parts(cfg)
    step(batch(0))
    for together in (2, 3):
        step.taken(joined(*[batch(seed) for seed in range(together)]))
    assert state.loop_state.step == 6
    assert step.taken._run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_without_a_graph_is_that_of_the_graph(accumulate: int) -> None:
    words = ("model.dropout=0.5", f"train.accumulate={accumulate}", "executor.precision=fp32")
    graph, step = parts(config(*words))
    eager, step_eager = parts(config(*words, "executor.eager=true"))
    assert not isinstance(step_eager.taken._run, type(step.taken._run))
    samples = joined(batch(0), batch(1))
    for one, other in zip(step_eager.taken(samples), step.taken(samples), strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-3)
    assert eager.loop_state == graph.loop_state == LoopState(step=2, sample_offset=16)


def test_dropout_follows_from_the_seed_and_the_step() -> None:
    (state, step), (_, other_step) = (parts(config("model.dropout=0.5")) for _ in range(2))
    state.model(np.zeros((1, 16, 16, 3), np.float32), training=True)  # moves the generators
    first = step(batch(0))
    assert first == other_step(batch(0))
    assert step(batch(1)) == other_step(batch(1))
    assert len(state.generators) == 1
    late, late_step = parts(config("model.dropout=0.5"))
    late.loop_state.step = 1
    assert late_step(batch(0)).loss != first.loss  # the same weights and samples


def test_clipping_limits_the_update_and_reports_the_true_norm() -> None:
    sgd = ("train.optimizer={target: sgd, learning_rate: 1.0}", "train.schedule=constant")
    state, step = parts(config(*sgd, "train.clip_norm=1e-3"))
    before = vector(state)
    assert step(batch(0)).grad_norm > 1e-3
    assert np.linalg.norm(vector(state) - before) == pytest.approx(1e-3, rel=1e-2)


def test_a_step_that_is_not_finite_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config("train.ema_decay=0.5", "executor.precision=fp32")
    state, step = parts(cfg)
    other, other_step = parts(cfg)
    loss = step.taken._loss
    bad = batch(1)
    bad.fields["mask"][:] = 2

    def only_if_mixed(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return mean(loss(logits, target)) / tf.cast(tf.reduce_min(target) < 2, tf.float32)

    monkeypatch.setattr(step.taken, "_loss", only_if_mixed)
    first, second = step.taken(joined(batch(0), bad, batch(2)))
    assert first == other_step(batch(0))
    assert second.skipped == SkippedBatch(8, tuple(range(8)))
    assert (second.step, second.loss) == (2, float("inf"))
    assert_equal(state, other)
    assert state.loop_state == LoopState(step=2, sample_offset=16)
    other.loop_state.step = 2
    assert step(batch(2)) == other_step(batch(2))
    assert_equal(state, other)
    assert state.loop_state == other.loop_state == LoopState(step=3, sample_offset=24)


def test_a_scaled_loss_that_is_not_finite_leaves_the_scaler_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, step = scaled_parts(config(f"model={PIXELWISE}", "executor.precision=fp32"))
    state.scaler.load_state_dict({"scale": 8.0, "good": 5})
    loss = step.taken._loss
    factor = tf.Variable(1.0)
    monkeypatch.setattr(
        step.taken, "_loss", lambda logits, target: mean(loss(logits, target)) * factor
    )
    step(batch(0))
    before, scaler = everything(state), state.scaler.state_dict()
    factor.assign(float("inf"))
    assert step(batch(1)).skipped is not None
    for left, right in zip(everything(state), before, strict=True):
        np.testing.assert_array_equal(left, right)
    assert state.scaler.state_dict() == scaler == {"scale": 8.0, "good": 6}
    factor.assign(1.0)
    assert step(batch(2)).skipped is None
    assert state.scaler.state_dict() == {"scale": 8.0, "good": 7}


def test_the_moving_average_is_what_is_judged() -> None:
    state, step = parts(config("train.ema_decay=0.75"))
    step(batch(0))
    first = tensors_of(state.model)
    np.testing.assert_array_equal(
        tensors_of(state.eval_model)["head/conv/kernel"], first["head/conv/kernel"]
    )
    step(batch(1))
    raw, exported = tensors_of(state.model), eval_weights(state.state_dict())
    assert list(exported) == list(raw)
    for name, value in tensors_of(state.eval_model).items():
        np.testing.assert_array_equal(exported[name], value)
        np.testing.assert_allclose(value, 0.75 * first[name] + 0.25 * raw[name], atol=1e-6)


def test_half_precision_skips_infinite_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    state, step = scaled_parts(config(f"model={PIXELWISE}", "executor.precision=fp32"))
    assert {layer.compute_dtype for layer in state.model.layers} == {"float16"}
    before, scale = vector(state), state.scaler.get_scale()
    loss = step.taken._loss
    factor = tf.Variable(1e36)
    monkeypatch.setattr(
        step.taken, "_loss", lambda logits, target: mean(loss(logits, target)) * factor
    )
    assert step(batch(0)).skipped is None  # the scaler expects it
    np.testing.assert_array_equal(vector(state), before)
    assert state.scaler.get_scale() == scale / 2
    factor.assign(1.0)
    step(batch(1))
    assert state.scaler.get_scale() == scale / 2
    assert not np.array_equal(vector(state), before)


def model_of(cfg: CFG) -> keras.Model:
    source = open_source(cfg.data)
    return build_model(cfg, source, build_task(cfg, source), Device(cfg))


def test_weights_follow_from_the_seed_and_names_from_the_model() -> None:
    cfg = config(f"model={PIXELWISE}")
    first = tensors_of(model_of(cfg))
    keras.Sequential([keras.layers.Conv2D(2, 1)])
    second = tensors_of(model_of(cfg))
    assert list(second) == [
        "sequential/conv2d/kernel",
        "sequential/conv2d/bias",
        "sequential_1/conv2d/kernel",
        "sequential_1/conv2d/bias",
        "dense/kernel",
        "dense/bias",
    ]
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
    other = config(f"model={PIXELWISE}", "run.seed=1")
    third = tensors_of(model_of(other))
    assert not np.array_equal(third["sequential/conv2d/kernel"], first["sequential/conv2d/kernel"])


def test_weights_that_the_loss_does_not_see_are_left_alone() -> None:
    state, step = parts(config(f"model={PIXELWISE}", "train.optimizer.weight_decay=0.5"))
    before = tensors_of(state.model)
    step(batch(0))
    after = tensors_of(state.model)
    np.testing.assert_array_equal(after["dense/kernel"], before["dense/kernel"])
    assert not np.array_equal(after["sequential/conv2d/bias"], before["sequential/conv2d/bias"])


def test_parameters_are_counted_with_and_without_the_frozen_ones() -> None:
    normalised = keras.Sequential([keras.layers.Dense(4), keras.layers.BatchNormalization()])
    normalised.build((None, 3))
    assert count_parameters(normalised) == (24, 24)
    normalised.layers[0].trainable = False
    assert count_parameters(normalised) == (24, 8)


def test_losses_of_keras_are_given_the_truth_first() -> None:
    name = "{target: keras.losses:SparseCategoricalCrossentropy, from_logits: true}"
    cfg = config(f"train.loss={name}")
    logits = tf.constant([[[[0.0, 2.0, 0.0]]]])
    target = tf.constant([[[1]]])
    source = open_source(cfg.data)
    losses = [mean(build_loss(c, source, Device(cfg))(logits, target)) for c in (cfg, config())]
    assert float(losses[0]) == pytest.approx(float(losses[1]))


def test_a_training_leaves_nothing_in_memory() -> None:
    state, step = parts(config("train.ema_decay=0.5"))
    step(batch(0))
    left = [weakref.ref(state.model), weakref.ref(step.taken), weakref.ref(state.optimizer)]
    del state, step
    gc.collect()
    assert [reference() for reference in left] == [None, None, None]


def test_fine_tuning_tells_what_fits(tmp_path: Path) -> None:
    source, _ = parts(config())
    path = tmp_path / "weights.safetensors"
    write_tensors(path, tensors_of(source.model))
    wider, _ = parts(config("model.widths=[4, 16]", "run.seed=1"))
    before = tensors_of(wider.model)
    start_from(wider.model, str(path))
    after, given = tensors_of(wider.model), tensors_of(source.model)
    for name, value in after.items():
        fits = name in given and given[name].shape == value.shape
        np.testing.assert_array_equal(value, given[name] if fits else before[name], name)
    with pytest.raises(UserError, match="do not fit the model"):
        load_strictly(wider.model, given, "there")
    other = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(UserError, match="none of its"):
        start_from(other, str(path))
    with pytest.raises(UserError, match="cannot be read"):
        start_from(other, str(tmp_path / "missing.safetensors"))
