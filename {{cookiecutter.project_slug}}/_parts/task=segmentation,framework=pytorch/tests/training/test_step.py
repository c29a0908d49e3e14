"""What a step, its state and a saved state do."""

import copy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from configs.loading import load_config
from configs.schema import CFG
from dataloader.batches import Batch
from dataloader.build import open_source
from executor.checkpoints import checkpoint
from executor.checkpoints.weights import eval_weights, start_from
from executor.devices.device import Device
from executor.devices.tensors import write_tensors
from executor.distributed.world import World
from executor.inference.build import build_loss, build_task
from executor.training.build import build_state
from executor.training.loop_state import LoopState, SkippedBatch, StepMetrics
from executor.training.state import TrainState, _restore_optimizer
from executor.training.step import TrainStep
from ops.loss_functions import Loss
from ops.weighted_loss import mean
from utils.errors import UserError

SMALL = (
    "model.widths=[4, 8]",
    "data.source.image_size=16",
    "train.batch_size=8",
    "executor.device=cpu",
)
# A network without batch statistics, so that parts of a batch add up to the whole.
PIXELWISE = "{target: torch.nn:Conv2d, in_channels: 3, out_channels: 3, kernel_size: 3, padding: 1}"


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


def parts(cfg: CFG, world: World | None = None) -> tuple[TrainState, OneStep]:
    device = Device(cfg, world)
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


def vector(state: TrainState) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.eval_model.parameters()])


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.optimizer=adamw", "train.schedule=cosine", "train.ema_decay=0.5"),
        ("train.optimizer=torch.optim:RMSprop", "train.optimizer.momentum=0.5"),
        ("train.optimizer=torch.optim:Adagrad",),
        (
            "train.schedule={target: torch.optim.lr_scheduler:OneCycleLR, max_lr: 0.01}",
            "executor.channels_last=false",
        ),
    ],
    ids=["adamw", "rmsprop", "adagrad", "onecycle"],
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
    assert torch.equal(vector(resumed), vector(whole))
    assert resumed.loop_state == whole.loop_state == LoopState(step=5, sample_offset=40)


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
    assert torch.allclose(one_weights, four_weights, atol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_taken_together_are_those_taken_one_by_one(accumulate: int) -> None:
    cfg = config("model.dropout=0.5", f"train.accumulate={accumulate}", "train.ema_decay=0.5")
    single, step = parts(cfg)
    together, step_together = parts(cfg)
    batches = [batch(seed) for seed in range(3)]
    taken = step_together.taken(joined(*batches))
    assert taken == [step(b) for b in batches]
    assert [metrics.step for metrics in taken] == [1, 2, 3]
    assert_equal(everything(together), everything(single))
    assert together.schedule.state_dict() == single.schedule.state_dict()
    assert together.loop_state == single.loop_state == LoopState(step=3, sample_offset=24)


def test_dropout_follows_from_the_seed_and_the_step() -> None:
    (_, step), (_, other_step) = (parts(config("model.dropout=0.5")) for _ in range(2))
    first = step(batch(0))
    torch.rand(7)  # moves the generator
    assert other_step(batch(0)) == first
    assert step(batch(1)) == other_step(batch(1))
    late, late_step = parts(config("model.dropout=0.5"))
    late.loop_state.step = 1
    assert late_step(batch(0)).loss != first.loss  # the same weights and samples
    _, seeded_step = parts(config("model.dropout=0.5", "run.seed=1"))
    assert seeded_step(batch(0)).loss != first.loss


@pytest.mark.parametrize(("fused", "device"), [(True, "meta"), (None, "cpu")])
def test_a_fused_optimizer_counts_where_it_computes(fused: bool | None, device: str) -> None:
    state, step = parts(config("train.optimizer=adamw"))
    step(batch(0))
    saved = state.state_dict()["optimizer"]
    for group in saved:
        group["settings"]["fused"] = fused
    groups = [
        [nn.Parameter(p.to("meta")) for p in g["params"]] for g in state.optimizer.param_groups
    ]
    other: Any = SimpleNamespace(param_groups=[{"params": group} for group in groups], state={})
    _restore_optimizer(other, saved)
    kept = other.state[groups[0][0]]
    assert kept["step"].device.type == device
    assert kept["exp_avg"].device.type == "meta"


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A group of processes that this one has for itself."""
    address = f"file://{tmp_path / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


class PartlyUsed(nn.Module):
    """A model with statistics, and with parameters that take no part."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
        self.unused = nn.Linear(2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images)
        return logits


# DDP says that a gradient lies in memory in another order; it is copied, bit for bit.
@pytest.mark.filterwarnings("ignore:.*Grad strides do not match bucket view strides:UserWarning")
@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_strategy_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch, strategy: str, accumulate: int
) -> None:
    """Looking for parameters that take no part leaves no trace in the statistics."""
    built = PartlyUsed()
    monkeypatch.setattr("executor.training.build.build_model", lambda *_: copy.deepcopy(built))
    cfg = config(f"train.accumulate={accumulate}", "train.clip_norm=0.1")
    alone, step_alone = parts(cfg)
    other, step_other = parts(cfg, World(strategy))
    for seed in range(2):
        assert step_other(batch(seed)) == step_alone(batch(seed))
    saved = other.state_dict()["model"]
    for name, tensor in alone.state_dict()["model"].items():
        assert torch.equal(saved[name], tensor), name


def test_clipping_limits_the_update_and_reports_the_true_norm() -> None:
    sgd = ("train.optimizer={target: sgd, learning_rate: 1.0}", "train.schedule=constant")
    state, step = parts(config(*sgd, "train.clip_norm=1e-3"))
    before = vector(state)
    assert step(batch(0)).grad_norm > 1e-3
    assert (vector(state) - before).norm().item() == pytest.approx(1e-3, rel=1e-2)


def everything(state: TrainState) -> list[torch.Tensor]:
    """All tensors of a state and the number of averaged updates, as they are now."""
    optimizer = [value for s in state.optimizer.state.values() for value in s.values()]
    averaged = [] if state.ema is None else list(state.ema.state_dict().values())
    tensors = [*state.model.state_dict().values(), *optimizer, *averaged]
    return [tensor.clone() for tensor in tensors]


def assert_equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left, right)


def finite_if_mixed(loss: Loss) -> Loss:
    """A loss that is infinite where all pixels have the last class."""
    return lambda logits, target: mean(loss(logits, target)) / (target.min() < 2).float()


@pytest.mark.parametrize("first", [0, 1], ids=["at once", "after an update"])
def test_a_step_that_is_not_finite_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    cfg = config("train.ema_decay=0.5", "train.on_divergence=skip", "train.schedule=linear")
    state, step = parts(cfg)
    monkeypatch.setattr(step.taken, "_loss", finite_if_mixed(step.taken._loss))
    for seed in range(first):
        step(batch(seed))
    before = everything(state)
    bad = batch(first)
    bad.fields["mask"][:] = 2
    [metrics] = step.taken(joined(bad, batch(first + 1)))
    assert_equal(everything(state), before)
    assert metrics.skipped == SkippedBatch(8 * first, tuple(range(8)))
    assert metrics.loss == float("inf")
    assert metrics.step == first + 1
    assert state.loop_state == LoopState(step=first + 1, sample_offset=8 * (first + 1))
    after = step(batch(first + 1))
    assert after.skipped is None
    assert after.learning_rate < metrics.learning_rate  # the schedule goes by steps
    assert not torch.equal(vector(state), before[0].flatten())


def test_steps_before_one_that_is_not_finite_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config()
    single, step_single = parts(cfg)
    together, step = parts(cfg)
    monkeypatch.setattr(step.taken, "_loss", finite_if_mixed(step.taken._loss))
    good = [batch(seed) for seed in range(2)]
    bad = batch(2)
    bad.fields["mask"][:] = 2
    taken = step.taken(joined(*good, bad, batch(3)))
    assert taken[:2] == [step_single(one) for one in good]
    assert [metrics.skipped is None for metrics in taken] == [True, True, False]
    assert together.loop_state == LoopState(step=3, sample_offset=24)
    assert torch.equal(vector(together), vector(single))


def test_a_scaled_loss_that_is_not_finite_leaves_the_scaler_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, step = scaled_parts(config("executor.precision=fp32", "train.on_divergence=skip"))
    state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": 8.0})
    step(batch(0))
    before, scaler = everything(state), state.scaler.state_dict()
    loss = step.taken._loss
    with monkeypatch.context() as patch:
        patch.setattr(step.taken, "_loss", lambda logits, target: mean(loss(logits, target)) / 0)
        assert step(batch(1)).skipped is not None
    assert_equal(everything(state), before)
    assert state.scaler.state_dict() == scaler
    assert step(batch(2)).skipped is None
    assert state.scaler.state_dict()["_growth_tracker"] == scaler["_growth_tracker"] + 1


def test_going_back_to_before_the_first_update_forgets_what_the_optimizer_knows() -> None:
    state, step = parts(config())
    fresh = copy.deepcopy(state.state_dict())
    once = step(batch(0))
    state.load_state_dict(fresh)
    assert not state.optimizer.state
    assert step(batch(0)) == once


def test_the_moving_average_is_what_is_judged() -> None:
    state, step = parts(config("train.ema_decay=0.9"))
    first = vector(state)
    step(batch(0))
    step(batch(1))
    raw = torch.cat([p.detach().flatten() for p in state.model.parameters()])
    assert not torch.equal(vector(state), raw)
    assert not torch.equal(vector(state), first)
    exported = eval_weights(state.state_dict())
    assert exported.keys() == state.model.state_dict().keys()
    assert torch.equal(exported["head.weight"], state.eval_model.state_dict()["head.weight"])


def test_a_plateau_lowers_the_rate_after_evaluations_only() -> None:
    name = "torch.optim.lr_scheduler:ReduceLROnPlateau"
    state, step = parts(config(f"train.schedule={{target: {name}, mode: max, patience: 0}}"))
    rate = step(batch(0)).learning_rate
    assert step(batch(1)).learning_rate == rate
    state.after_evaluation(0.5)
    state.after_evaluation(0.4)
    assert step(batch(2)).learning_rate == pytest.approx(rate / 10)


def test_half_precision_skips_infinite_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    state, step = scaled_parts(config("executor.precision=fp32"))
    scale = state.scaler.get_scale()
    before = vector(state)
    loss = step.taken._loss
    monkeypatch.setattr(
        step.taken, "_loss", lambda logits, target: mean(loss(logits, target)) * 1e36
    )
    assert step(batch(0)).skipped is None  # the scaler expects it
    assert torch.equal(vector(state), before)
    assert state.scaler.get_scale() < scale


def test_fine_tuning_tells_what_fits(tmp_path: Path) -> None:
    source, _ = parts(config())
    path = tmp_path / "weights.safetensors"
    write_tensors(path, source.model.state_dict())
    wider, _ = parts(config("model.widths=[4, 16]", "run.seed=1"))
    before = {k: v.clone() for k, v in wider.model.state_dict().items()}
    start_from(wider.model, str(path))
    after, given = wider.model.state_dict(), source.model.state_dict()
    for name, value in after.items():
        fits = name in given and given[name].shape == value.shape
        assert torch.equal(value, given[name] if fits else before[name]), name
    with pytest.raises(UserError, match="none of its"):
        start_from(nn.Linear(1, 1), str(path))
    with pytest.raises(UserError, match="cannot be read"):
        start_from(nn.Linear(1, 1), str(tmp_path / "missing.safetensors"))
