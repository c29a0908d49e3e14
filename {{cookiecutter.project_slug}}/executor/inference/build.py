"""Builds the task, the model and the loss, as the configuration says."""

from configs.schema import CFG
from dataloader.sample import Described
from evaluation.task import Task
from executor.devices.device import Device
from executor.devices.tensors import MODEL_KIND, Model
from executor.inference.forward import adapt_loss, loss_argument
from ops.loss_functions import Loss
from utils import seeding
from utils.errors import UserError
from utils.names import build


def build_task(cfg: CFG, source: Described) -> Task:
    """Return what the model is to learn; a UserError says if it does not fit the source."""
    task: Task = build(cfg.task.target, cfg.task.arguments, offered=source.facts)
    return task


def build_model(cfg: CFG, source: Described, task: Task, device: Device) -> Model:
    """Return a new model on the device; its initial weights follow from `run.seed`."""
    device.seed(int(seeding.generator(cfg.run.seed, seeding.WEIGHTS).integers(1 << 48)))
    with device.building():
        model = build(cfg.model.target, cfg.model.arguments, offered=source.facts)
        check_kind(f"model.target={cfg.model.target}", model, Model, MODEL_KIND)
        return device.place(model, task.io)


def build_loss(cfg: CFG, source: Described, device: Device) -> Loss:
    """Return the loss: a callable of what the task's `ModelIO.loss` passes to it."""
    component = cfg.train.loss
    arguments = {
        name: loss_argument(value, component.target) for name, value in component.arguments.items()
    }
    loss = build(component.target, arguments, home="ops.losses", offered=source.facts)
    return adapt_loss(loss, device)


def check_kind(setting: str, made: object, kind: type, name: str) -> None:
    """Raise a UserError if a target made something else."""
    if not isinstance(made, kind):
        raise UserError(f"{setting} made a {type(made).__name__}; it must make a {name}.")
