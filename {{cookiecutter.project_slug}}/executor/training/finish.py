"""What a run leaves behind: the best weights, their numbers, its speed and the report."""

import json
from dataclasses import asdict

from dataloader.sample import IGNORE_INDEX
from evaluation.report import Report, write_report
from executor.devices.device import Device
from executor.devices.gpu_specs import peak_flops
from executor.devices.memory import peak_memory
from executor.devices.tensors import Model, Tensor, write_tensors
from executor.inference.forward import forward_flops
from executor.inference.validator import Evaluation
from executor.runs.run_directory import RunDirectory
from executor.runs.throughput import Speed, Throughput
from utils import storage
from utils.logs import log

_PASSES = 3  # a backward pass computes about twice what a forward pass does


def write_results(
    run: RunDirectory,
    weights: dict[str, Tensor],
    step: int | None,
    evaluation: Evaluation,
    class_names: tuple[str, ...],
    configuration: str,
    monitor: str,
) -> None:
    """Write `model.safetensors`, `metrics.json` and the report of the best weights."""
    temporary = run.weights.with_suffix(".tmp")
    write_tensors(temporary, weights)
    storage.replace(str(temporary), str(run.weights))
    run.write_json(run.metrics, {"step": step, "split": "validation", **evaluation.values})
    facts = json.loads(run.environment.read_text(encoding="utf-8"))
    if run.speed.exists():
        facts["speed"] = json.loads(run.speed.read_text(encoding="utf-8"))
    report = Report(
        title=run.path.name,
        history=run.rows(),
        metrics=evaluation.values,
        class_names=class_names,
        confusion=evaluation.confusion,
        samples=evaluation.picker.samples(),
        configuration=configuration,
        environment=facts,
        best_step=step,
        monitor=monitor,
        ignore_index=IGNORE_INDEX,
    )
    write_report(run.path, report)
    log.info("report    %s", storage.join(run.address, run.report.name))


def measure_speed(
    run: RunDirectory | None,
    throughput: Throughput,
    batch_size: int,
    image_size: tuple[int, int],
    model: Model,
    device: Device,
) -> None:
    """Say how fast the processes have trained, unless after too few steps, and write `speed.json`.

    All processes call it together.
    """
    rate, world = throughput.samples_per_second, device.world
    name = device.facts()["device"]
    peak = peak_flops(name, device.precision)
    # What follows is the same for all: they may have counted other steps, and have other cards.
    memory, is_short, is_unknown = world.largest(
        peak_memory(device) or 0, rate is None, peak is None
    )
    if rate is None or is_short:
        return
    flops = None if peak is None or is_unknown else _forward_flops(image_size, model, device)
    speed = Speed(
        samples_per_second=rate,
        seconds_per_step=throughput.seconds / throughput.steps,
        steps=throughput.steps,
        batch_size=batch_size,
        processes=world.size,
        device=name,
        precision=device.precision,
        peak_memory=memory or None,
        mfu_estimate=utilisation(rate, flops, (peak or 0.0) * world.replicas),
    )
    log.info("speed     %s", speed)
    if run is not None:
        run.write_json(run.speed, asdict(speed))


def utilisation(samples_per_second: float, flops: float | None, peak: float) -> float | None:
    """Return the share of the hardware's peak that a training uses.

    `flops` are those of one sample's forward pass, `peak` those of all devices in a second.
    """
    return None if flops is None else samples_per_second * _PASSES * flops / peak


def _forward_flops(image_size: tuple[int, int], model: Model, device: Device) -> int | None:
    try:
        return forward_flops(model, image_size, device) or None
    except Exception as error:  # an estimate must not end a run that is trained
        log.debug("the model's operations cannot be counted: %s", error)
        return None
