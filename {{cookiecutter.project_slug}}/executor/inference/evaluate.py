"""Evaluates a finished or running run on one of its splits."""

from collections.abc import Sequence
from functools import partial

from dataloader.build import load_split, open_source
from dataloader.sample import KnownFacts
from executor.devices.oom import explain_out_of_memory, training_advice
from executor.inference.build import build_loss
from executor.inference.load import Predictor, load_run
from executor.inference.validator import Evaluation, Validator
from executor.runs.run_directory import RunDirectory, open_existing_run
from executor.runs.source_facts import check_facts


def evaluate(path: str, split: str = "test", overrides: Sequence[str] = ()) -> dict[str, float]:
    """Measure a run's best weights.

    Args:
        path: The run's folder.
        split: "train", "validation" or "test".
        overrides: `key.path=value` words laid over the run's configuration.

    Returns:
        The values, which are also written to `metrics-<split>.json` in the run's folder.

    Raises:
        UserError: If there is no such run or split, or no weights yet.
    """
    with open_existing_run(path) as run:
        found = load_run(run, overrides)
        values = evaluated(run, found, split).values
        content = {"step": found.step, "split": split, **values}
        run.write_json(run.path / f"metrics-{split}.json", content)
        run.publish()
        return values


def evaluated(run: RunDirectory, found: Predictor, split: str) -> Evaluation:
    """Return the evaluation of a run that was loaded on one of its splits; see `evaluate`."""
    cfg, task, device = found.cfg, found.task, found.device
    advice = partial(training_advice, cfg.train, cfg.data, device, task)
    with explain_out_of_memory(lambda: "in the evaluation", advice):
        source = open_source(cfg.data)
        if isinstance(found.source, KnownFacts):
            check_facts(run, source.facts)
        loss = build_loss(cfg, source, device)
        decoded = load_split(cfg.data, source, split)
        validator = Validator(cfg, loss, decoded, task, device)
        return validator.evaluate_whole(found.model)
