"""What a training step costs beside the loop that one would write by hand.

The executor's loop runs as it does for users, with everything on: `metrics.jsonl`, TensorBoard,
progress, checkpoints at their default interval, the check for NaN, the gradient's norm, a schedule.
"""

from collections.abc import Sequence
from typing import Any

from effort import Effort
from loops import Loop, Round, ratio, take_turns
from places import Places
from results import Row

_EXECUTOR, _BARE = "executor_loop.py", "bare_loop.py"
_SAME, _DEFAULTS, _TINY = 1.02, 0.50, 0.82  # what is wanted
_CHECKPOINT_EVERY, _NEVER = 200, 10**9  # steps; the first is the default of generated projects

SMALL_UNET: dict[str, Any] = {
    "model": "unet",
    "side": 64,
    "arguments": {"widths": [16, 32, 64, 128]},
}
_LARGE_UNET: dict[str, Any] = {
    "model": "unet",
    "side": 64,
    "arguments": {"widths": [32, 64, 128, 256]},
}
TINY_MLP: dict[str, Any] = {
    "model": "tiny",
    "side": 4,
    "arguments": {"side": 4, "hidden": [32, 32, 32], "normalised": True},
    "threads": 1,
}


def unet_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare on U-Nets: same precision and memory settings, then defaults against defaults."""
    sizes: list[tuple[str, dict[str, Any], int, float | None]] = [
        ("0.5M", SMALL_UNET, effort.steps, _DEFAULTS)
    ]
    if not effort.is_quick:
        sizes.append(("1.9M", _LARGE_UNET, 1, None))
    rows = []
    for size, work, steps, limit in sizes:
        rounds = _unet_rounds(places, effort, work, steps)
        for precision in ("bf16", "fp32"):
            meaning = f"executor / bare loop, U-Net {size}, both {precision} with the same settings"
            names = (f"executor-{precision}", f"bare-{precision}")
            name = f"step.unet-{size}.{precision}"
            rows.append(_row(name, meaning, rounds, names, steps, _SAME))
        meaning = f"executor with its defaults / plain fp32 loop, U-Net {size}"
        name = f"step.unet-{size}.defaults"
        rows.append(_row(name, meaning, rounds, ("executor-bf16", "plain"), steps, limit))
    return rows


def tiny_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare on models so small that a step is nothing but overhead.

    What PyTorch's default Adam costs goes with the number of parameter tensors, and each batch
    normalisation adds two. Both are held to the same limit. Images lie in memory as in the bare
    loop: channels_last is for convolutions, and there are none.
    """
    work = {**TINY_MLP, "optimizer": "adam"}
    plain = {**work, "arguments": {**work["arguments"], "normalised": False}}
    loops = [
        Loop(places, "executor", _EXECUTOR, work),
        Loop(places, "bare", _BARE, work),
        Loop(places, "bare-no-item", _BARE, {**work, "item": False}),
        Loop(places, "bare-fused", _BARE, {**work, "fused": True}),
        Loop(places, "plain-executor", _EXECUTOR, plain),
        Loop(places, "plain-bare", _BARE, plain),
    ]
    rounds = take_turns(loops, effort.rounds, effort.small_steps, effort.warmup)
    comparisons: list[tuple[str, str, str, str, float | None]] = [
        ("bare", "executor", "bare", "a bare loop with default Adam", _TINY),
        ("bare-no-item", "executor", "bare-no-item", "the same, never reading the loss", None),
        ("bare-fused", "executor", "bare-fused", "the same with fused Adam", None),
        ("plain", "plain-executor", "plain-bare", "default Adam, without normalisation", _TINY),
    ]
    return [
        _row(
            f"step.tiny.{name}",
            f"executor / {what}; MLP of 5,000 parameters, one thread",
            rounds,
            (own, other),
            effort.small_steps,
            limit,
        )
        for name, own, other, what, limit in comparisons
    ]


def _unet_rounds(places: Places, effort: Effort, work: dict[str, Any], steps: int) -> list[Round]:
    """Return rounds in which the executor's turns bear their share of a checkpoint.

    A turn is shorter than the default interval, so that a median would not see a checkpoint. What
    one costs is the difference to a loop that writes one in every step.
    """
    loops = [Loop(places, "plain", _BARE, work)]
    for precision in ("bf16", "fp32"):
        same = {**work, "precision": precision, "tuned": True}
        rare = {**same, "checkpoint_every": _NEVER}
        loops.append(Loop(places, f"executor-{precision}", _EXECUTOR, rare))
        loops.append(Loop(places, f"bare-{precision}", _BARE, {**same, "fused": True}))
    often = {**work, "precision": "bf16", "tuned": True, "checkpoint_every": 1}
    loops.append(Loop(places, "checkpoints", _EXECUTOR, often))
    rounds = take_turns(loops, effort.rounds, steps, effort.warmup)
    for turns in rounds:
        without = dict(turns["executor-bf16"])
        for name in ("executor-bf16", "executor-fp32"):
            for clock, seconds in turns[name].items():
                checkpoints = turns["checkpoints"][clock] - without[clock]
                turns[name][clock] = seconds + checkpoints / _CHECKPOINT_EVERY
    return rounds


def _row(
    name: str,
    meaning: str,
    rounds: Sequence[Round],
    names: tuple[str, str],
    steps: int,
    limit: float | None,
) -> Row:
    details = {
        loop: [
            {clock: round(1e3 * turns[loop][clock] / steps, 4) for clock in ("wall", "cpu")}
            for turns in rounds
        ]
        for loop in names
    }
    return Row(
        name,
        meaning,
        value=ratio(rounds, *names, "wall"),
        cpu=ratio(rounds, *names, "cpu"),
        limit=limit,
        details={"milliseconds a step": details},
    )
