"""Builds the model and the loss, as the configuration says."""

from collections.abc import Sequence

from configs.schema import CFG
from dataloader.sample import IGNORE_INDEX
from executor.devices.device import Device
from executor.devices.tensors import MODEL_KIND, Model
from executor.inference.forward import adapt_loss, loss_argument
from ops.loss_functions import Loss
from utils import seeding
from utils.errors import UserError
from utils.names import build

_CHANNELS = 3


def build_model(cfg: CFG, class_names: Sequence[str], device: Device) -> Model:
    """Return a new model on the device; its initial weights follow from `run.seed`."""
    device.seed(int(seeding.generator(cfg.run.seed, seeding.WEIGHTS).integers(1 << 48)))
    size = cfg.data.image_size
    offered = {"num_classes": len(class_names), "in_channels": _CHANNELS, "image_size": size}
    with device.building():
        model = build(cfg.model.target, cfg.model.arguments, offered=offered)
        check_kind(f"model.target={cfg.model.target}", model, Model, MODEL_KIND)
        return device.place(model)


def build_loss(cfg: CFG, class_names: Sequence[str], device: Device) -> Loss:
    """Return the loss: a callable of the model's logits, in float, and targets [B, H, W]."""
    component = cfg.train.loss
    offered = {
        "num_classes": len(class_names),
        "class_names": class_names,
        "ignore_index": IGNORE_INDEX,
    }
    arguments = {
        name: loss_argument(value, component.target) for name, value in component.arguments.items()
    }
    loss = build(component.target, arguments, home="ops.losses", offered=offered)
    return adapt_loss(loss, device)


def check_kind(setting: str, made: object, kind: type, name: str) -> None:
    """Raise a UserError if a target made something else."""
    if not isinstance(made, kind):
        raise UserError(f"{setting} made a {type(made).__name__}; it must make a {name}.")
