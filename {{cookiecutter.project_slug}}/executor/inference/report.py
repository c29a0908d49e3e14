"""Writes a run's report, at the end of a training or again later."""

import json

from configs.loading import to_yaml
from configs.schema import CFG
from evaluation.report import Report, write_report
from evaluation.task import Task
from executor.inference.evaluate import evaluated
from executor.inference.load import load_run
from executor.inference.validator import Evaluation
from executor.runs.run_directory import RunDirectory, open_existing_run
from utils import storage


def report_of(
    run: RunDirectory, evaluation: Evaluation, task: Task, cfg: CFG, step: int | None
) -> str:
    """Write the report of a run's best weights, those of a step, and return where it is."""
    facts = json.loads(run.environment.read_text(encoding="utf-8"))
    facts.pop("code", None)  # a digest for each file, which nobody reads
    if run.speed.exists():
        facts["speed"] = json.loads(run.speed.read_text(encoding="utf-8"))
    report = Report(
        title=run.path.name,
        history=run.rows(),
        metrics=evaluation.values,
        sections=evaluation.sections(),
        configuration=to_yaml(cfg),
        environment=facts,
        best_step=step,
        monitor=cfg.train.monitor,
        titles=task.titles,
        details=frozenset(filter(task.is_detail, evaluation.values)),
    )
    write_report(run.path, report)
    return storage.join(run.address, run.report.name)


def report(path: str) -> str:
    """Evaluate a run's best weights on the validation split, and write its report anew.

    Args:
        path: The run's folder.

    Returns:
        Where the report is.

    Raises:
        UserError: If there is no such run, or no weights yet.
    """
    with open_existing_run(path) as run:
        found = load_run(run)
        evaluation = evaluated(run, found, "validation")
        written = report_of(run, evaluation, found.task, found.cfg, found.step)
        run.publish()
        return written
