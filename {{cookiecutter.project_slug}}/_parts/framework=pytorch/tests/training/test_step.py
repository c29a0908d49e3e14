"""The pieces of the executor: device, state, step, checkpoints and weights."""

import copy
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
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
from executor.checkpoints import checkpoint
from executor.checkpoints.weights import eval_weights, start_from
from executor.devices import compile as ways
from executor.devices import device as device_module
from executor.devices.device import Device
from executor.devices.prefetch import Transfers, one_ahead
from executor.devices.tensors import read_tensors, write_tensors
from executor.inference.build import build_loss
from executor.training.build import build_state
from executor.training.loop_state import LoopState, SkippedBatch, StepMetrics
from executor.training.state import TrainState, _restore_optimizer
from executor.training.step import TrainStep
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

CLASSES = ("object", "background", "border")
SMALL = (
    "model.widths=[4, 8]",
    "data.image_size=16",
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

    def __call__(self, group: Batch) -> StepMetrics:
        [[values]] = self.taken(group)
        return values


def parts(cfg: CFG) -> tuple[TrainState, OneStep]:
    device = Device(cfg)
    state = build_state(cfg, CLASSES, 10, device)
    return state, OneStep(TrainStep(cfg, state, build_loss(cfg, CLASSES, device), device))


def batch(seed: int, count: int = 8) -> Batch:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    masks = random.integers(0, 3, (count, 16, 16), dtype=np.uint8)
    return Batch(images, masks, np.arange(count), position=seed * count)


def joined(*batches: Batch) -> Batch:
    fields = ("images", "masks", "indices")
    images, masks, indices = (np.concatenate([getattr(b, f) for b in batches]) for f in fields)
    return Batch(images, masks, indices, batches[0].position)


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
    assert resumed.loop_state == whole.loop_state == LoopState(step=5, position=40)


def test_accumulated_parts_of_a_batch_are_the_batch() -> None:
    results = []
    for accumulate in (1, 4):
        cfg = config(
            f"model={PIXELWISE}",
            f"train.accumulate={accumulate}",
            "executor.precision=fp32",
        )
        state, step = parts(cfg)
        results.append((step(batch(0)), vector(state)))
    (one, one_weights), (four, four_weights) = results
    assert one.loss == pytest.approx(four.loss, rel=1e-6)
    assert one.grad_norm == pytest.approx(four.grad_norm, rel=1e-5)
    assert torch.allclose(one_weights, four_weights, atol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_taken_together_are_those_taken_one_by_one(accumulate: int) -> None:
    cfg = config("model.dropout=0.5", f"train.accumulate={accumulate}")
    single, step = parts(cfg)
    together, step_together = parts(cfg)
    batches = [batch(seed) for seed in range(3)]
    taken = [values for some in step_together.taken(joined(*batches)) for values in some]
    assert taken == [step(b) for b in batches]
    assert [values.step for values in taken] == [1, 2, 3]
    assert torch.equal(vector(together), vector(single))
    assert together.loop_state == single.loop_state == LoopState(step=3, position=24)


def unwatched(cfg: CFG) -> tuple[TrainState, TrainStep]:
    """Parts whose steps are waited for together, as on a GPU."""
    device = Device(cfg)
    device.runs_behind = True
    state = build_state(cfg, CLASSES, 10, device)
    return state, TrainStep(cfg, state, build_loss(cfg, CLASSES, device), device)


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.optimizer=adamw", "train.schedule=cosine", "train.ema_decay=0.5"),
        ("train.optimizer=sgd", "train.accumulate=2", "train.clip_norm=0.1"),
    ],
    ids=["adamw", "sgd"],
)
def test_steps_that_are_waited_for_together_are_those_of_single_ones(
    overrides: tuple[str, ...],
) -> None:
    cfg = config("model.dropout=0.5", *overrides)
    single, step = parts(cfg)
    together, step_together = unwatched(cfg)
    batches = [batch(seed) for seed in range(4)]
    first, second = step_together(joined(*batches[:3])), step_together(batches[3])
    taken = [*next(first), *next(second)]
    assert not list(first) and not list(second)
    assert taken == [step(b) for b in batches]
    assert_equal(everything(together), everything(single))
    assert together.loop_state == single.loop_state
    assert together.schedule.state_dict() == single.schedule.state_dict()


@pytest.mark.parametrize("good", [0, 2])
def test_nothing_learns_from_a_step_that_is_not_finite_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    cfg = config()
    single, step = parts(cfg)
    together, step_together = unwatched(cfg)
    loss = step_together._loss

    def only_if_mixed(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return loss(logits, target) / (target.min() < 2).float()

    monkeypatch.setattr(step_together, "_loss", only_if_mixed)
    before = [batch(seed) for seed in range(good)]
    bad = batch(good)
    bad.masks[:] = 2
    for one in before:
        step(one)
    [values] = next(step_together(joined(*before, bad, batch(good + 1))))
    assert values.left_out == SkippedBatch(8 * good, tuple(range(8)))
    assert values.loss == float("inf")
    assert values.step == together.loop_state.step == good + 1
    assert torch.equal(vector(together), vector(single))


@pytest.mark.parametrize(
    "words",
    [("train.optimizer=torch.optim:RMSprop",), ("train.on_divergence=skip",)],
    ids=["no such kernel", "goes on afterwards"],
)
def test_steps_are_waited_for_one_by_one_where_they_must(words: tuple[str, ...]) -> None:
    _, step = unwatched(config(*words))
    assert [len(values) for values in step(joined(batch(0), batch(1)))] == [1, 1]


def test_samples_may_be_on_the_device_already(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config("train.accumulate=2")
    state, step = parts(cfg)
    there, step_there = parts(cfg)

    def moved(pairs: Iterable[Any]) -> Iterator[Any]:
        return ((torch.from_numpy(images), torch.from_numpy(masks)) for images, masks in pairs)

    monkeypatch.setattr(step_there.taken._device, "ahead", moved)
    group = joined(batch(0), batch(1))
    assert list(step_there.taken(group)) == list(step.taken(group))
    assert torch.equal(vector(there), vector(state))


class FakeCUDA:
    """Streams and events that only write down what happens, so that its order can be tested."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.events = 0

    def event(self) -> Any:
        self.events += 1
        name = f"{'arrival' if self.events % 2 else 'free'} {(self.events + 1) // 2}"
        return SimpleNamespace(name=name, record=lambda stream: self.note(stream, "tells", name))

    def stream(self, name: str) -> Any:
        stream = SimpleNamespace(name=name, wait_stream=lambda other: None)
        stream.wait_event = lambda event: self.note(stream, "awaits", event.name)
        return stream

    def note(self, stream: Any, does: str, event: str) -> None:
        self.seen.append(f"{stream.name} {does} {event}")


def test_samples_travel_beside_the_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCUDA()
    computing = fake.stream("computing")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: fake.stream("copying"))
    monkeypatch.setattr(torch.cuda, "Event", fake.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    transfers = Transfers(torch.device("cpu"))
    batches = [batch(seed) for seed in range(3)]
    for number, (images, masks) in enumerate(
        transfers.ahead((one.images, one.masks) for one in batches)
    ):
        fake.seen.append(f"use {number}")
        np.testing.assert_array_equal(images, batches[number].images)
        np.testing.assert_array_equal(masks, batches[number].masks)
    first = ["copying awaits free 1", "copying tells arrival 1"]
    second = ["copying awaits free 2", "copying tells arrival 2"]
    assert fake.seen == [
        *first,
        *second,
        *("computing awaits arrival 1", "use 0", "computing tells free 1"),
        *first,  # into the place that was just used up
        *("computing awaits arrival 2", "use 1", "computing tells free 2"),
        *("computing awaits arrival 1", "use 2", "computing tells free 1"),
    ]


def test_one_is_on_its_way_while_the_one_before_is_used() -> None:
    seen = []

    def begin(item: int) -> int:
        seen.append(f"begin {item}")
        return item

    def end(item: int) -> int:
        seen.append(f"end {item}")
        return item

    for item in one_ahead(begin, end, range(3)):
        seen.append(f"use {item}")
    told = "begin 0, begin 1, end 0, use 0, begin 2, end 1, use 1, end 2, use 2"
    assert ", ".join(seen) == told
    assert list(one_ahead(begin, end, [])) == []


def debug(*words: str) -> list[str]:
    """The command that trains for a few steps."""
    return ["train", "--config", str(PROJECT / "configs" / "debug.yaml"), *words]


Compile = Callable[..., Any]


def identity(compiled: list[str | None]) -> Compile:
    """A compiler that changes nothing, and notes in which mode it was called."""

    def compile_model(model: nn.Module, mode: str | None = None) -> nn.Module:
        compiled.append(mode)
        return model

    return compile_model


@pytest.mark.parametrize("way", ["plain", "compiled", "graphs"])
def test_measuring_leaves_no_trace(monkeypatch: pytest.MonkeyPatch, way: Any) -> None:
    cfg = config("model.dropout=0.5", "train.accumulate=2")
    state, step = parts(cfg)
    measured, step_measured = parts(cfg)
    modes: list[str | None] = []
    monkeypatch.setattr(torch, "compile", identity(modes))
    before, draws = everything(measured), torch.get_rng_state()
    step_measured.taken._device.way = way
    timing = step_measured.taken.time(batch(0))
    assert timing.one > 0.0
    assert_equal(everything(measured), before)
    assert torch.equal(torch.get_rng_state(), draws)
    assert all(p.grad is None for p in measured.model.parameters())
    assert modes == {"plain": [], "compiled": [None], "graphs": ["reduce-overhead"]}[way]
    assert measured.loop_state == LoopState()
    for seed in range(2):
        assert step_measured(batch(seed)) == step(batch(seed))
    assert torch.equal(vector(measured), vector(state))


def test_a_run_goes_on_in_the_way_that_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def trained(name: str) -> dict[str, float]:
        run = [*debug("executor.device=cpu"), f"run.dir={tmp_path / name}"]
        main([*run, "train.max_steps=2"])
        values: dict[str, float] = main([*run, "train.max_steps=4"])
        return values

    plain = trained("plain")
    modes: list[str | None] = []
    monkeypatch.setattr(torch, "compile", identity(modes))
    # As if this were a GPU on which compiling pays, and CUDA graphs never do.
    settled = ways.settled_way
    monkeypatch.setattr(ways, "settled_way", lambda cfg, _, *rest: settled(cfg, "cuda", *rest))
    monkeypatch.setattr(ways, "may_pay", lambda *_: True)
    monkeypatch.setattr(ways, "quickest", lambda *_: ("compiled", "faster"))
    assert trained("measured") == plain  # nothing is left of the measuring
    # Measured as compiled and as graphs, used; after the stop used and not measured again.
    assert modes == [None, "reduce-overhead", None, None]


def test_a_model_that_cannot_be_compiled_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(model: nn.Module, mode: str | None = None) -> nn.Module:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", refuse)
    words = debug("executor.device=cpu", "executor.compile=true", f"run.dir={tmp_path / 'run'}")
    with pytest.raises(UserError, match=r"executor\.compile=true.*no compiler here"):
        main(words)
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning")  # the compiler's own
def test_a_compiled_step_trains(tmp_path: Path) -> None:
    words = debug("executor.device=cpu", "executor.precision=fp32", "run.tensorboard=false")
    plain = main([*words, f"run.dir={tmp_path / 'plain'}"])
    compiled = main([*words, f"run.dir={tmp_path / 'compiled'}", "executor.compile=true"])
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-3)


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
def process_settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets a test set what holds for the whole process."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.mark.usefixtures("process_settings")
def test_gpus_multiply_as_configured() -> None:
    device_module._set_up_cuda(config("executor.device=auto", "executor.tf32=false"))
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32 is False
    device_module._set_up_cuda(config())
    assert torch.get_float32_matmul_precision() == "high"
    assert torch.backends.cudnn.allow_tf32 is True
    # The compiler asks in both of PyTorch's languages, which must not contradict each other.
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.cudnn.benchmark is True
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


@pytest.mark.usefixtures("process_settings")
def test_what_must_repeat_is_not_tried_out() -> None:
    device_module._set_up_cuda(config("run.deterministic=true"))
    assert torch.backends.cudnn.benchmark is False
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_clipping_limits_the_update_and_reports_the_true_norm() -> None:
    sgd = ("train.optimizer={target: sgd, learning_rate: 1.0}", "train.schedule=constant")
    state, step = parts(config(*sgd, "train.clip_norm=1e-3"))
    before = vector(state)
    assert step(batch(0)).grad_norm > 1e-3
    assert (vector(state) - before).norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_the_norm_is_that_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    state, step = parts(config())
    monkeypatch.delattr(torch, "_foreach_norm")  # as in a version that does not have it
    _, other_step = parts(config())
    monkeypatch.undo()
    norm = step(batch(0)).grad_norm
    groups = state.optimizer.param_groups  # in their order, on which the last digit depends
    gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
    assert norm == torch.nn.utils.get_total_norm(gradients).item()
    assert norm == other_step(batch(0)).grad_norm


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


@pytest.mark.parametrize("first", [0, 1], ids=["at once", "after an update"])
def test_a_step_that_is_not_finite_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    cfg = config("train.ema_decay=0.5", "train.on_divergence=skip", "train.schedule=linear")
    state, step = parts(cfg)
    loss = step.taken._loss

    def only_if_mixed(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return loss(logits, target) / (target.min() < 2).float()

    monkeypatch.setattr(step.taken, "_loss", only_if_mixed)
    for seed in range(first):
        step(batch(seed))
    before = everything(state)
    bad = batch(first)
    bad.masks[:] = 2
    taken = step.taken(joined(bad, batch(first + 1)))
    [values] = next(taken)
    assert_equal(everything(state), before)
    assert values.left_out == SkippedBatch(8 * first, tuple(range(8)))
    assert values.loss == float("inf")
    assert state.loop_state == LoopState(step=first + 1, position=8 * (first + 1))
    [after] = next(taken)
    assert after.left_out is None
    assert after.learning_rate < values.learning_rate  # the schedule goes by steps
    assert not torch.equal(vector(state), before[0].flatten())


def test_a_scaled_loss_that_is_not_finite_leaves_the_scaler_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cfg = config("executor.precision=fp32", "train.on_divergence=skip")
    device = Device(cfg)
    device.precision = "fp16"
    state = build_state(cfg, CLASSES, 10, device)
    step = OneStep(TrainStep(cfg, state, build_loss(cfg, CLASSES, device), device))
    state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": 8.0})
    step(batch(0))
    before, scaler = everything(state), state.scaler.state_dict()
    loss = step.taken._loss
    with monkeypatch.context() as patch:
        patch.setattr(step.taken, "_loss", lambda logits, target: loss(logits, target) / 0)
        assert step(batch(1)).left_out is not None
    assert_equal(everything(state), before)
    assert state.scaler.state_dict() == scaler
    assert step(batch(2)).left_out is None
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
    cfg = config("executor.precision=fp32")
    device = Device(cfg)
    device.precision = "fp16"
    state = build_state(cfg, CLASSES, 10, device)
    step = OneStep(TrainStep(cfg, state, build_loss(cfg, CLASSES, device), device))
    assert state.scaler.is_enabled()
    scale = state.scaler.get_scale()
    before = vector(state)
    loss = step.taken._loss
    monkeypatch.setattr(step.taken, "_loss", lambda logits, target: loss(logits, target) * 1e36)
    step(batch(0))
    assert torch.equal(vector(state), before)
    assert state.scaler.get_scale() < scale


def test_devices_and_precisions_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="Available: cpu"):
        Device(config("executor.device=cuda"))
    with pytest.raises(UserError, match="needs a GPU"):
        Device(config("executor.device=auto", "executor.precision=fp16"))


def test_images_arrive_normalised_and_in_the_chosen_format() -> None:
    cfg = config("data.mean=[0, 0.5, 1]", "data.std=[1, 0.5, 0.25]")
    images = np.full((2, 4, 5, 3), 255, np.uint8)
    moved = Device(cfg).images(images)
    assert moved.shape == (2, 3, 4, 5)
    assert moved[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]
    assert moved.is_contiguous(memory_format=torch.channels_last)
    plain = Device(config("executor.channels_last=false")).images(images)
    assert plain.is_contiguous()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tied_weights_and_memory_formats_survive_a_file(tmp_path: Path, dtype: torch.dtype) -> None:
    shared = torch.randn(4, 3, 2, 2, dtype=dtype).to(memory_format=torch.channels_last)
    write_tensors(tmp_path / "x.safetensors", {"a": shared, "b": shared, "c": shared[1]})
    loaded = read_tensors(tmp_path / "x.safetensors")
    assert {tensor.dtype for tensor in loaded.values()} == {dtype}
    assert torch.equal(loaded["a"], shared)
    assert torch.equal(loaded["b"], shared)
    assert torch.equal(loaded["c"], shared[1])


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
