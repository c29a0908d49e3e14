"""Ends a run: the best weights, their numbers and the report."""

import json
from typing import Any

from configs.loading import to_yaml
from configs.schema import CFG
from dataloader.sample import IGNORE_INDEX
from evaluation.report import Report, write_report
from executor.checkpoints.broadcast import broadcast_state
from executor.checkpoints.weights import best_weights, load_strictly
from executor.devices.device import Device
from executor.devices.gpu_specs import peak_flops
from executor.devices.memory import peak_memory
from executor.devices.tensors import Model, write_tensors
from executor.distributed.world import World
from executor.inference.forward import forward_flops
from executor.inference.validator import Validator
from executor.runs.run_directory import RunDirectory
from executor.runs.throughput import Speed, StepTimer
from executor.training.state import TrainState
from utils import storage
from utils.logs import log

_PASSES = 3  # a backward pass computes about twice what a forward pass does


def finish(
    cfg: CFG,
    run: RunDirectory | None,
    state: TrainState,
    judge: Validator,
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
    weights, step = broadcast_state(world, run and best_weights(run))
    load_strictly(state.eval_model, weights, f"step {step}")
    values, confusion, picker = judge.evaluate_whole(state.eval_model)
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


def measured(cfg: CFG, watch: StepTimer, model: Model, device: Device) -> Speed | None:
    """Say how fast this process has trained with those that it works with; all call it together.

    Args:
        cfg: `data.image_size` and `train.batch_size` are used.
        watch: Timed the steps.
        model: Only looked at.
        device: Where it is.

    Returns:
        What was measured; None if too few steps were taken.
    """
    rate, world = watch.images_per_second, device.world
    name = device.facts()["device"]
    peak = peak_flops(name, device.precision)
    # What follows is the same for all: they may have counted other steps, and have other cards.
    memory, is_short, is_unknown = world.largest(
        peak_memory(device) or 0, rate is None, peak is None
    )
    if rate is None or is_short:
        return None
    speed = Speed(
        images_per_second=rate,
        seconds_per_step=watch.seconds / watch.steps,
        steps=watch.steps,
        batch_size=cfg.train.batch_size,
        processes=world.size,
        device=name,
        precision=device.precision,
        peak_memory=memory or None,
        mfu_estimate=None
        if peak is None or is_unknown
        else utilisation(rate, _forward_flops(cfg, model, device), peak * world.replicas),
    )
    log.info("speed     %s", speed)
    return speed


def utilisation(images_per_second: float, flops: float | None, peak: float) -> float | None:
    """Return the share of the hardware's peak that a training uses.

    Args:
        images_per_second: Samples a second.
        flops: Operations of a forward pass of one sample; None: they are not known.
        peak: Operations a second of all devices together.
    """
    return None if flops is None else images_per_second * _PASSES * flops / peak


def _forward_flops(cfg: CFG, model: Model, device: Device) -> int | None:
    try:
        return forward_flops(model, cfg.data.image_size, device) or None
    except Exception as error:  # an estimate must not end a run that is trained
        log.debug("the model's operations cannot be counted: %s", error)
        return None


def _facts(run: RunDirectory) -> dict[str, Any]:
    """Return what a run ran on, and how fast if that is known."""
    facts: dict[str, Any] = json.loads(run.environment.read_text(encoding="utf-8"))
    if run.speed.exists():
        facts["speed"] = json.loads(run.speed.read_text(encoding="utf-8"))
    return facts
