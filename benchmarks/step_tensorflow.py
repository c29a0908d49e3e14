"""A step of the executor beside one of a bare `tf.function`, and of `keras.Model.fit`."""

from effort import Effort
from loops import Loop, take_turns
from places import Places
from results import Row
from step import BARE, EXECUTOR, SMALL_UNET, TINY_MLP, rounds_by_precision, step_row

_SAME, _FIT = 1.03, 1 / 2.5  # what is wanted
_TINY_SAMPLES = 6400  # an epoch of 200 steps: one begins in each turn


def unet_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare on a U-Net with the same optimizer and precision."""
    precisions = ("fp32", "bf16")
    rounds = rounds_by_precision(places, effort, SMALL_UNET, effort.steps, precisions)
    return [
        step_row(
            f"step.unet-0.5M.{precision}",
            f"executor / bare tf.function loop, U-Net 0.5M, both {precision}",
            rounds,
            (f"executor-{precision}", f"bare-{precision}"),
            _SAME,
        )
        for precision in precisions
    ]


def tiny_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare on a model so small that a step is nothing but overhead.

    `fit` spends as much on the beginning of an epoch as on some thirty steps. Epochs are long here,
    so that the steps are compared.
    """
    work = {**TINY_MLP, "optimizer": "adam", "samples": _TINY_SAMPLES}
    loops = [
        Loop(places, "executor", EXECUTOR, work),
        Loop(places, "fit", "fit_loop.py", work),
        Loop(places, "bare", BARE, work),
    ]
    rounds = take_turns(loops, effort.rounds, effort.small_steps, effort.warmup)
    comparisons: list[tuple[str, str, float | None]] = [
        ("fit", "keras.Model.fit with its defaults", _FIT),
        ("bare", "a bare tf.function loop that reads every loss", None),
    ]
    return [
        step_row(
            f"step.tiny.{name}",
            f"executor / {what}; MLP of 5,000 parameters, one thread",
            rounds,
            ("executor", name),
            limit,
        )
        for name, what, limit in comparisons
    ]
