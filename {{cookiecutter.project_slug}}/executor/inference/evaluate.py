"""Evaluates a finished or running run on one of its splits."""

from collections.abc import Sequence

from dataloader.build import load_split, open_source
from executor.checkpoints.weights import best_weights, load_strictly
from executor.devices.device import Device
from executor.devices.oom import explain_out_of_memory, training_advice
from executor.inference.build import build_loss, build_model
from executor.inference.validator import Validator
from executor.runs.run_directory import RunDirectory, open_existing_run, without_initial_weights


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
        return _evaluate(run, split, overrides)


def _evaluate(run: RunDirectory, split: str, overrides: Sequence[str]) -> dict[str, float]:
    cfg = run.load_config(overrides)
    weights, step = best_weights(run)
    device = Device(cfg)
    source = open_source(cfg)
    with explain_out_of_memory(lambda: "in the evaluation", training_advice(cfg, device)):
        model = build_model(without_initial_weights(cfg), source.class_names, device)
        load_strictly(model, weights, run.address)
        loss = build_loss(cfg, source.class_names, device)
        judge = Validator(cfg, loss, load_split(cfg, source, split), source.class_names, device)
        values, _, _ = judge.evaluate_whole(model)
    run.write_json(run.path / f"metrics-{split}.json", {"step": step, "split": split, **values})
    run.publish()
    return values
