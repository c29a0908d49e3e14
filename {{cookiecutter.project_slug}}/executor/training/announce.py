"""Says at the start of a training what was decided."""

from configs.schema import CFG
from evaluation.task import Task
from executor.devices.device import Device
from executor.devices.tensors import count_parameters
from executor.distributed.sync_batch_norm import batch_norms
from executor.training.plan import Plan
from executor.training.state import TrainState
from utils import storage
from utils.logs import log


def announce(
    cfg: CFG,
    task: Task,
    plan: Plan,
    state: TrainState,
    device: Device,
    validation: int,
    origin: str,
) -> None:
    """Say what is trained on what, and where it begins; `validation` counts samples."""
    total, trained = count_parameters(state.model)
    world, accumulate = device.world, cfg.train.accumulate
    micro = plan.batch_size // accumulate // world.replicas
    one, several = ("process", "processes") if world.size == world.replicas else ("", "devices")
    replicas = f"{world.replicas} {several if world.replicas > 1 else one}"
    samples = f"{plan.samples} training, {validation} validation samples {task}"
    log.info("device    %s", device)
    log.info("strategy  %s", world)
    log.info("data      %s: %s", cfg.data.source.target, samples)
    counts = f"{total:,} parameters, {trained:,} trained"
    log.info("model     %s: %s", cfg.model.target, counts)
    batch = f"{plan.batch_size} = {micro} samples x {accumulate} accumulated x {replicas}"
    log.info("batch     %s; %d steps", batch, plan.total_steps)
    if cfg.executor.sync_batch_norm:
        log.info("norm      %s", _synchronised(len(batch_norms(state.model)), world.replicas))
    if micro == 1 and not cfg.executor.sync_batch_norm and batch_norms(state.model):
        text = "batch normalisation sees one sample at a time: raise train.batch_size, or lower "
        log.warning("%strain.accumulate or the number of processes", text)
    log.info("start     %s, seed %d", origin, cfg.run.seed)
    log.info("writes    %s", storage.shown(storage.resolve(cfg.run.dir)))


def _synchronised(layers: int, replicas: int) -> str:
    if layers and replicas > 1:
        return f"{layers} batch normalisations see the batches of all {replicas}"
    why = "the whole batch is in one place" if layers else "the model has no batch normalisation"
    return f"executor.sync_batch_norm has nothing to do: {why}"
