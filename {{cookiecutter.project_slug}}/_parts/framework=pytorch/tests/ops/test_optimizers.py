"""Optimizers and schedules: the same bits as PyTorch's own, and no compiler imported for them."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from ops import lr_schedules as schedules
from ops import optimizers
from ops.parameter_groups import ParameterGroup
from utils.storage import PROJECT


def parameters() -> list[nn.Parameter]:
    """Return a matrix, a bias and a matrix that is never given a gradient."""
    draws = torch.Generator().manual_seed(0)
    shapes = ((4, 3), (4,), (2, 2))
    return [nn.Parameter(torch.randn(shape, generator=draws)) for shape in shapes]


def trained(optimizer: torch.optim.Optimizer, updates: int = 4) -> list[torch.Tensor]:
    """Return the parameters after some updates with made-up gradients."""
    draws = torch.Generator().manual_seed(1)
    listed = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(updates):
        for parameter in sorted(listed, key=lambda p: -p.numel())[:2]:
            parameter.grad = torch.randn(parameter.shape, generator=draws)
        optimizer.step()
        optimizer.zero_grad()
    return sorted((p.detach() for p in listed), key=lambda p: -p.numel())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda p: optimizers.adam(p, learning_rate=0.1, beta1=0.8, beta2=0.9, epsilon=1e-6),
            lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.9), eps=1e-6, fused=True),
        ),
        (
            lambda p: optimizers.adamw(p, learning_rate=0.1, weight_decay=0.0),
            lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.0, fused=True),
        ),
        (
            lambda p: optimizers.adamw(p, learning_rate=0.1, weight_decay=0.3),
            lambda p: torch.optim.AdamW(
                [{"params": p[::2], "weight_decay": 0.3}, {"params": p[1:2]}],
                lr=0.1,
                weight_decay=0.0,
                fused=True,
            ),
        ),
        (
            lambda p: optimizers.sgd(p, learning_rate=0.1, momentum=0.9, nesterov=True),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, fused=True),
        ),
    ],
)
def test_plain_names_equal_pytorch(
    ours: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    theirs: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
) -> None:
    for mine, reference in zip(
        trained(ours(parameters())), trained(theirs(parameters())), strict=True
    ):
        assert torch.equal(mine, reference)


def test_decoupled_decay_by_hand() -> None:
    weight, bias = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.ones(1))
    optimizer = optimizers.adamw([weight, bias], learning_rate=0.1, weight_decay=0.5)
    weight.grad, bias.grad = torch.zeros(1, 1), torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 0.1 * 0.5)
    assert bias.item() == 1.0


@pytest.mark.parametrize(
    "build",
    [
        lambda: optimizers.adam([]),
        lambda: optimizers.adam(parameters(), learning_rate=-1.0),
        lambda: optimizers.adamw(parameters(), beta1=1.0),
        lambda: optimizers.adamw(parameters(), weight_decay=-1.0),
        lambda: optimizers.sgd(parameters(), weight_decay=-1.0),
        lambda: optimizers.sgd(parameters(), nesterov=True),
    ],
)
def test_impossible_settings_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="Argument `"):
        build()


# What PyTorch's own optimizers give with such groups. The same numbers stand in the test of
# the other framework.
ADAMW_IN_GROUPS = [
    [0.097827658, -0.10139797, 0.64015514, 0.077135056, -0.46657044, 0.29695696],
    [1.3138218, 0.93366349, -0.73483688],
    [-1.2564276, -0.62222373, 0.038089808, -2.3088648],
]
SGD_IN_GROUPS = [
    [-1.8098793, -0.1498525, 1.067965, -0.91168219, 1.3259281, -0.97109145],
    [2.528806, 0.59971601, -1.2217346],
    [-0.82181484, -0.52585417, -0.046673901, -1.4198862],
]


def updated_in_groups(build: Callable[..., torch.optim.Optimizer]) -> list[list[float]]:
    """Return parameters after 20 updates with made-up gradients and falling rates.

    A matrix and a bias are in the first group, a matrix in the second.
    """
    draws = np.random.default_rng(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.tensor(draws.normal(size=shape).astype(np.float32))

    given = [nn.Parameter(drawn(3, 2)), nn.Parameter(drawn(3)), nn.Parameter(drawn(2, 2))]
    optimizer = build(
        [ParameterGroup(given[:2]), ParameterGroup(given[2:], rate=0.1, weight_decay=0.5)]
    )
    schedule = schedules.linear(optimizer, total_steps=40)
    for _ in range(20):
        for parameter in given:
            parameter.grad = drawn(*parameter.shape)
        optimizer.step()
        schedule.step()
    return [parameter.detach().flatten().tolist() for parameter in given]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (
            lambda groups: optimizers.adamw(groups, learning_rate=0.01, weight_decay=0.3),
            ADAMW_IN_GROUPS,
        ),
        (
            lambda groups: optimizers.sgd(
                groups, learning_rate=0.1, momentum=0.9, weight_decay=0.1
            ),
            SGD_IN_GROUPS,
        ),
    ],
    ids=["adamw", "sgd"],
)
def test_groups_have_rates_and_decays_of_their_own(
    build: Callable[..., torch.optim.Optimizer], expected: list[list[float]]
) -> None:
    for mine, reference in zip(updated_in_groups(build), expected, strict=True):
        assert mine == pytest.approx(reference, rel=1e-6, abs=5e-7)


def rates(schedule: Callable[..., LRScheduler], updates: int, **settings: Any) -> list[float]:
    """Return the learning rate of each update, from a rate of 1."""
    optimizer = optimizers.sgd([nn.Parameter(torch.zeros(1))], learning_rate=1.0)
    scheduler = schedule(optimizer, **settings)
    result = []
    for _ in range(updates):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return result


def test_schedules_by_hand() -> None:
    assert rates(schedules.constant, 4, warmup_steps=2) == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert rates(schedules.cosine, 6, total_steps=5, warmup_steps=1, floor=0.2) == pytest.approx(
        [0.5, 1.0, 0.2 + 0.8 * (2 + 2**0.5) / 4, 0.6, 0.2 + 0.8 * (2 - 2**0.5) / 4, 0.2]
    )
    assert rates(schedules.linear, 5, total_steps=4) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert rates(schedules.step, 5, milestones=[2, 4], gamma=0.5) == [1, 1, 0.5, 0.5, 0.25]


def test_a_schedule_resumes_from_plain_values() -> None:
    whole = rates(schedules.cosine, 6, total_steps=6, warmup_steps=2)
    first = optimizers.adam([nn.Parameter(torch.zeros(1))], learning_rate=1.0)
    scheduler = schedules.cosine(first, total_steps=6, warmup_steps=2)
    for _ in range(3):
        first.step()
        scheduler.step()
    state, optimizer_state = scheduler.state_dict(), first.state_dict()
    assert state["lr_lambdas"] == [None]

    second = optimizers.adam([nn.Parameter(torch.zeros(1))], learning_rate=1.0)
    resumed = schedules.cosine(second, total_steps=6, warmup_steps=2)
    resumed.load_state_dict(state)
    second.load_state_dict(optimizer_state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for expected in whole[3:]:
            assert second.param_groups[0]["lr"] == expected
            second.step()
            resumed.step()


# Run in a fresh process: here the compiler may have been imported by an earlier test.
_STEPS = """
import sys, warnings
warnings.simplefilter("error")
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from ops import optimizers, lr_schedules as schedules

def train(build, hooked):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1))
    average = torch.optim.swa_utils.AveragedModel(model)
    optimizer = build(model.parameters())
    calls = []
    if hooked:
        optimizer.register_step_post_hook(lambda *_: calls.append(1))
    scheduler = schedules.cosine(optimizer, total_steps=4, warmup_steps=1)
    scaler = torch.amp.GradScaler("cpu", enabled=hooked)
    for step in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(torch.randn(2, 3, 8, 8))
        loss = nn.functional.cross_entropy(logits.float(), torch.zeros(2, 6, 6).long())
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        optimizer.load_state_dict(optimizer.state_dict())
    assert len(calls) == (3 if hooked else 0)
    assert torch.is_grad_enabled()
    return [p.detach() for p in average.parameters()]

kinds = [
    (optimizers.adam, torch.optim.Adam, {}),
    (optimizers.adamw, torch.optim.AdamW, {"weight_decay": 0.0}),
    (optimizers.sgd, torch.optim.SGD, {"momentum": 0.9}),
]
cases = [(*kind, hooked) for kind in kinds for hooked in (True, False)]
own = [train(lambda p: f(p, learning_rate=0.1, **s), hooked) for f, _, s, hooked in cases]
print("torch._dynamo" in sys.modules)

parameter = nn.Parameter(torch.ones(2))
watched, calls = optimizers.adam([parameter]), []
parameter.grad = torch.ones(2)
handle = register_optimizer_step_post_hook(lambda *_: calls.append(1))
watched.step()
handle.remove()
watched.step()
with torch.autograd.profiler.profile() as profile:
    watched.step()
print(len(calls), "Optimizer.step#Adam.step" in {event.name for event in profile.function_events})

for (_, kind, settings, hooked), mine in zip(cases, own, strict=True):
    theirs = train(lambda p: kind(p, lr=0.1, fused=True, **settings), hooked)
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True)), (kind, hooked)
print("torch._dynamo" in sys.modules)
"""


def test_training_does_not_import_the_compiler_and_gives_the_same_bits() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", _STEPS], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == ["False", "1", "True", "True"]
