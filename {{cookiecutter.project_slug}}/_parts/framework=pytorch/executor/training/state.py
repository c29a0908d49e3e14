"""The one state of a run: everything that a step changes, saved and restored whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from executor.devices.tensors import gather_full, shard_like, shard_state_dict
from executor.training.loop_state import LoopState


@dataclass
class TrainState:
    """Model, optimizer and all that goes with them."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    ema: AveragedModel | None
    loop_state: LoopState = field(default_factory=LoopState)

    @property
    def eval_model(self) -> nn.Module:
        """The model that is evaluated and exported: the moving average if there is one."""
        return self.model if self.ema is None else self.ema.module

    def after_update(self) -> None:
        """Move on what changes with every update."""
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    def after_step(self, sample_offset: int) -> None:
        """Move on what changes with every step, whether it had an update or not."""
        self.loop_state.step += 1
        self.loop_state.sample_offset = sample_offset
        if not isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step()

    def after_evaluation(self, value: float) -> None:
        """Move on what changes with every evaluation; `value` is that of `train.monitor`."""
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(value)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries of tensors and plain values."""
        return {
            "loop_state": dict(vars(self.loop_state)),
            "model": _whole(self.model.state_dict()),
            "optimizer": _optimizer_state(self.optimizer),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else _average_state(self.ema),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; a ValueError says if it is that of another model."""
        try:
            self.model.load_state_dict(shard_state_dict(self.model, state["model"]))
            _restore_optimizer(self.optimizer, state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            if isinstance(self.schedule, LambdaLR):
                _apply(self.schedule)
            self.scaler.load_state_dict(state["scaler"])
            if self.ema is not None:
                average = shard_state_dict(self.ema.module, state["ema"]["model"])
                self.ema.module.load_state_dict(average)
                self.ema.n_averaged.fill_(state["ema"]["updates"])
            self.loop_state = LoopState(**state["loop_state"])
        except (RuntimeError, KeyError) as error:
            raise ValueError(str(error)) from error

    def restart_average(self) -> None:
        """Let the moving average begin with the model's weights as they are now."""
        if self.ema is not None:
            self.ema.module.load_state_dict(self.model.state_dict())


def _apply(schedule: LambdaLR) -> None:
    """Set the rates that a schedule gives now; its length may be another than when it was saved."""
    step = schedule.last_epoch
    rates = [
        base * of(step) for base, of in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    ]
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def _average_state(ema: AveragedModel) -> dict[str, Any]:
    return {"model": _whole(ema.module.state_dict()), "updates": int(ema.n_averaged)}


def _optimizer_state(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return each group's settings with the state of each of its parameters.

    `Optimizer.state_dict` holds the same, but its numbers of parameters would have to be undone.
    """
    return [
        {
            "settings": {name: value for name, value in group.items() if name != "params"},
            "state": [_whole(optimizer.state.get(p, {})) for p in group["params"]],
        }
        for group in optimizer.param_groups
    ]


def _restore_optimizer(optimizer: torch.optim.Optimizer, saved: list[dict[str, Any]]) -> None:
    for group, saved_group in zip(optimizer.param_groups, saved, strict=True):
        group.update(saved_group["settings"])
        for parameter, values in zip(group["params"], saved_group["state"], strict=True):
            optimizer.state.pop(parameter, None)  # what no update has changed yet has none
            if values:
                # Fused kernels count where they compute.
                counts_there = bool(group.get("fused") or group.get("capturable"))
                state = {n: _like(parameter, v, counts_there) for n, v in values.items()}
                optimizer.state[parameter] = state


def _like(parameter: Tensor, value: Any, counts_there: bool) -> Any:
    """Return a saved value as the optimizer had it: device and memory format of its parameter."""
    if not isinstance(value, Tensor):
        return value
    if value.shape != parameter.shape:  # a counter, which PyTorch keeps on the CPU otherwise
        return value.to(parameter.device) if counts_there else value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(shard_like(parameter, value))


def _whole(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state with tensors of which each process has a part collected, on the CPU."""
    return {
        name: gather_full(value).cpu() if hasattr(value, "full_tensor") else value
        for name, value in values.items()
    }
