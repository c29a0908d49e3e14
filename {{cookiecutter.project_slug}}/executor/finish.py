"""Ends a run: the best weights, their numbers and the report."""

import json
from typing import Any

from configs.loading import to_yaml
from configs.schema import CFG
from dataloader.source import IGNORE_INDEX
from evaluation.report import Report, write_report
from executor.judge import Judge
from executor.run_directory import RunDirectory
from executor.sharing import shared
from executor.state import TrainState
from executor.tensors import write_tensors
from executor.weights import best_weights, load_strictly
from executor.world import World
from utils import storage
from utils.logs import log


def finish(
    cfg: CFG,
    run: RunDirectory | None,
    state: TrainState,
    judge: Judge,
    class_names: tuple[str, ...],
    world: World,
) -> dict[str, float]:
    """Evaluate the best weights on the whole validation split, and write what remains of a run.

    Args:
        cfg: The configuration.
        run: The run's folder; None in the processes that only help to evaluate.
        state: Its judged model is given the best weights.
        judge: Evaluates it.
        class_names: One for each class.
        world: The processes.

    Returns:
        The values, which also stand in `metrics.json`.
    """
    weights, step = shared(world, run and best_weights(run))
    load_strictly(state.judged, weights, f"step {step}")
    values, confusion, picker = judge.evaluate_whole(state.judged)
    if run is None:
        return values
    temporary = run.weights.with_suffix(".tmp")
    write_tensors(temporary, weights)
    storage.replace(str(temporary), str(run.weights))
    run.write_json(run.metrics, {"step": step, "split": "validation", **values})
    report = Report(
        title=run.path.name,
        history=run.rows(),
        metrics=values,
        class_names=class_names,
        confusion=confusion,
        samples=picker.samples(),
        configuration=to_yaml(cfg),
        environment=_facts(run),
        best_step=step,
        monitor=cfg.train.monitor,
        ignore_index=IGNORE_INDEX,
    )
    write_report(run.path, report)
    log.info("report    %s", storage.join(run.address, run.report.name))
    return values


def _facts(run: RunDirectory) -> dict[str, Any]:
    """Return what a run ran on, and how fast if that is known."""
    facts: dict[str, Any] = json.loads(run.environment.read_text(encoding="utf-8"))
    if run.speed.exists():
        facts["speed"] = json.loads(run.speed.read_text(encoding="utf-8"))
    return facts
