"""Writes a run's report, at the end of a training or again later."""

import json
from functools import partial

from configs.loading import to_yaml
from configs.schema import CFG
from dataloader.build import load_split, open_source
from dataloader.sample import KnownFacts
from evaluation.report import Report, write_report
from evaluation.task import Task
from executor.devices.oom import explain_out_of_memory, training_advice
from executor.inference.build import build_loss
from executor.inference.load import load_run
from executor.inference.validator import Evaluation, Validator
from executor.runs.run_directory import RunDirectory, open_existing_run
from executor.runs.source_facts import check_facts
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
        cfg, task, device = found.cfg, found.task, found.device
        advice = partial(training_advice, cfg.train, cfg.data, device, task)
        with explain_out_of_memory(lambda: "in the evaluation", advice):
            source = open_source(cfg.data)
            if isinstance(found.source, KnownFacts):
                check_facts(run, source.facts)
            loss = build_loss(cfg, source, device)
            decoded = load_split(cfg.data, source, "validation")
            validator = Validator(cfg.train, cfg.run.seed, loss, decoded, task, device)
            evaluation = validator.evaluate_whole(found.model)
        written = report_of(run, evaluation, task, cfg, found.step)
        run.publish()
        return written
