"""A step of the executor beside one of plain PyTorch."""

import statistics
from collections.abc import Sequence
from typing import Any

from effort import Effort
from loops import Loop, Round, take_turns
from places import Places
from results import Row
from step import BARE, EXECUTOR, SMALL_UNET, TINY_MLP, rounds_by_precision, step_row

_SAME, _DEFAULTS, _TINY = 1.02, 0.50, 0.77  # what is wanted
_OWN_MICROSECONDS = 30.0  # likewise

_LARGE_UNET: dict[str, Any] = {
    "model": "unet",
    "side": 64,
    "arguments": {"widths": [32, 64, 128, 256]},
}


def unet_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare on U-Nets: same precision and memory settings, then defaults against defaults."""
    sizes: list[tuple[str, dict[str, Any], int, float | None]] = [
        ("0.5M", SMALL_UNET, effort.steps, _DEFAULTS)
    ]
    if not effort.is_quick:
        sizes.append(("1.9M", _LARGE_UNET, 1, None))
    precisions = ("bf16", "fp32")
    rows = []
    for size, work, steps, limit in sizes:
        plain = Loop(places, "plain", BARE, work)
        tuned = {**work, "tuned": True}
        rounds = rounds_by_precision(
            places, effort, tuned, steps, precisions, bare={"fused": True}, further=[plain]
        )
        for precision in precisions:
            meaning = f"executor / bare loop, U-Net {size}, both {precision} with the same settings"
            names = (f"executor-{precision}", f"bare-{precision}")
            rows.append(step_row(f"step.unet-{size}.{precision}", meaning, rounds, names, _SAME))
        meaning = f"executor with its defaults / plain fp32 loop, U-Net {size}"
        names = ("executor-bf16", "plain")
        rows.append(step_row(f"step.unet-{size}.defaults", meaning, rounds, names, limit))
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
        Loop(places, "executor", EXECUTOR, work),
        Loop(places, "bare", BARE, work),
        Loop(places, "bare-no-item", BARE, {**work, "item": False}),
        Loop(places, "bare-fused", BARE, {**work, "fused": True}),
        Loop(places, "plain-executor", EXECUTOR, plain),
        Loop(places, "plain-bare", BARE, plain),
        Loop(places, "plain-arithmetic", "arithmetic_loop.py", plain),
    ]
    rounds = take_turns(loops, effort.rounds, effort.small_steps, effort.warmup)
    comparisons: list[tuple[str, str, str, str, float | None]] = [
        ("bare", "executor", "bare", "a bare loop with default Adam", _TINY),
        ("bare-no-item", "executor", "bare-no-item", "the same, never reading the loss", None),
        ("bare-fused", "executor", "bare-fused", "the same with fused Adam", None),
        ("plain", "plain-executor", "plain-bare", "default Adam, without normalisation", _TINY),
        ("arithmetic", "plain-arithmetic", "plain-bare", "default Adam; its arithmetic only", None),
    ]
    rows = [
        step_row(
            f"step.tiny.{name}",
            f"executor / {what}; MLP of 5,000 parameters, one thread",
            rounds,
            (own, other),
            limit,
        )
        for name, own, other, what, limit in comparisons
    ]
    return [*rows, _own_row(rounds)]


def _own_row(rounds: Sequence[Round]) -> Row:
    """Return what a step costs beside its arithmetic: rows, callbacks, schedule, checkpoints."""
    own = {
        k: [1e6 * (t["plain-executor"][k] - t["plain-arithmetic"][k]) for t in rounds]
        for k in ("wall", "cpu")
    }
    return Row(
        "step.tiny.own",
        "microseconds a step that are not its arithmetic; without normalisation",
        value=statistics.median(own["wall"]),
        cpu=statistics.median(own["cpu"]),
        limit=_OWN_MICROSECONDS,
        details={"microseconds a step": own},
    )
