"""What a training step costs beside the loop that one would write by hand, in any framework.

The executor's loop runs as it does for users, with everything on: `metrics.jsonl`, TensorBoard,
progress, checkpoints at their default interval, the check for NaN, the gradient's norm, a schedule.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from effort import Effort
from loops import Loop, Round, milliseconds, ratio, take_turns
from places import Places
from results import Row

EXECUTOR, BARE = "executor_loop.py", "bare_loop.py"
_CHECKPOINT_EVERY, _NEVER = 200, 10**9  # steps; the first is the default of generated projects

SMALL_UNET: dict[str, Any] = {
    "model": "unet",
    "side": 64,
    "arguments": {"widths": [16, 32, 64, 128]},
}
TINY_MLP: dict[str, Any] = {
    "model": "tiny",
    "side": 4,
    "arguments": {"side": 4, "hidden": [32, 32, 32], "normalised": True},
    "threads": 1,
}


def rounds_by_precision(
    places: Places,
    effort: Effort,
    work: Mapping[str, Any],
    steps: int,
    precisions: Sequence[str],
    bare: Mapping[str, Any] | None = None,
    further: Sequence[Loop] = (),
) -> list[Round]:
    """Return rounds of `executor-` and `bare-` loops in each precision.

    A turn is shorter than the default interval of checkpoints, so that a median would not see one.
    What one costs is the difference to a loop that writes one in every step; the executor's turns
    bear their share of it.

    Args:
        places: Where things are.
        effort: How many rounds.
        work: What all train.
        steps: In each turn.
        precisions: `fp32` or `bf16`; the checkpoints are measured in the first.
        bare: What further the bare loops are told.
        further: More loops that take part.
    """
    loops = list(further)
    for precision in precisions:
        same = {**work, "precision": precision}
        rare = {**same, "checkpoint_every": _NEVER}
        loops.append(Loop(places, f"executor-{precision}", EXECUTOR, rare))
        loops.append(Loop(places, f"bare-{precision}", BARE, {**same, **(bare or {})}))
    often = {**work, "precision": precisions[0], "checkpoint_every": 1}
    loops.append(Loop(places, "checkpoints", EXECUTOR, often))
    rounds = take_turns(loops, effort.rounds, steps, effort.warmup)
    for turns in rounds:
        without = dict(turns[f"executor-{precisions[0]}"])
        for precision in precisions:
            turn = turns[f"executor-{precision}"]
            for clock in turn:
                turn[clock] += (turns["checkpoints"][clock] - without[clock]) / _CHECKPOINT_EVERY
    return rounds


def step_row(
    name: str,
    meaning: str,
    rounds: Sequence[Round],
    names: tuple[str, str],
    limit: float | None,
) -> Row:
    """Return the comparison of two loops."""
    details = {loop: [milliseconds(turns[loop]) for turns in rounds] for loop in names}
    return Row(
        name,
        meaning,
        value=ratio(rounds, *names, "wall"),
        cpu=ratio(rounds, *names, "cpu"),
        limit=limit,
        details={"milliseconds a step": details},
    )
