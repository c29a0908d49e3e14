"""What a run leaves behind: the best weights, their numbers, its speed and the report."""

import json
import math
from dataclasses import asdict
from logging import DEBUG

from configs.schema import CFG
from evaluation.task import Task
from executor.devices.device import Device
from executor.devices.memory import peak_memory
from executor.devices.tensors import Tensor, write_tensors
from executor.inference.report import report_of
from executor.inference.validator import Evaluation
from executor.runs import status
from executor.runs.run_directory import RunDirectory
from executor.runs.throughput import Speed, Throughput
from utils import storage
from utils.logs import log


def write_results(
    run: RunDirectory,
    weights: dict[str, Tensor],
    step: int | None,
    evaluation: Evaluation,
    task: Task,
    cfg: CFG,
) -> None:
    """Write `model.safetensors`, `metrics.json` and the report of the best weights.

    A report that cannot be made is a warning: nothing that draws may end a training.
    """
    temporary = run.weights.with_suffix(".tmp")
    write_tensors(temporary, weights)
    storage.replace(str(temporary), str(run.weights))
    run.write_json(run.metrics, {"step": step, "split": "validation", **evaluation.values})
    try:
        log.info("report    %s", report_of(run, evaluation, task, cfg, step))
    except Exception as error:
        text = "there is no report (%s: %s); weights and numbers are whole. Once that is mended, "
        text += "`python main.py report %s` makes it"
        log.warning(
            text, type(error).__name__, error, run.address, exc_info=log.isEnabledFor(DEBUG)
        )


def is_complete(run: RunDirectory | None) -> bool:
    """Return whether a run ended as it should, and its results are there; say what can be done."""
    found = None if run is None else status.read(run.status)
    if run is None or found is None or found.status != "finished":
        return False
    is_there = run.metrics.is_file() and run.weights.is_file()
    if is_there:
        log.info(
            "complete  nothing is left to train, and nothing is written; raise train.epochs to go "
            "on, or evaluate or report the run anew"
        )
    return is_there


def kept_values(run: RunDirectory) -> dict[str, float]:
    """Return the values in `metrics.json`; null stands for NaN there."""
    content = json.loads(run.metrics.read_text(encoding="utf-8"))
    values = {name: content[name] for name in content if name not in ("step", "split")}
    return {name: math.nan if value is None else value for name, value in values.items()}


def measure_speed(
    run: RunDirectory | None,
    throughput: Throughput,
    batch_size: int,
    device: Device,
) -> None:
    """Say how fast the processes have trained, unless after too few steps, and write `speed.json`.

    All processes call it together.
    """
    rate, world = throughput.samples_per_second, device.world
    memory, is_short = world.largest(peak_memory(device) or 0, rate is None)  # in any of them
    if rate is None or is_short:
        return
    speed = Speed(
        samples_per_second=rate,
        seconds_per_step=throughput.seconds / throughput.steps,
        steps=throughput.steps,
        batch_size=batch_size,
        processes=world.size,
        device=device.facts()["device"],
        precision=device.precision,
        peak_memory=memory or None,
    )
    log.info("speed     %s", speed)
    if run is not None:
        run.write_json(run.speed, asdict(speed))
