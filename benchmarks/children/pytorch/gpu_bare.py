"""The loop that one writes and tunes by hand for a GPU: nothing but steps."""

import contextlib

import gpu_work
import numpy as np
import torch
from configs.schema import CFG
from dataloader.build import load_split, open_source
from dataloader.decoded import Decoded
from torch import Tensor
from torch.nn import functional
from utils.names import build

_SHOW_EVERY = 10  # steps; to read the loss is to wait for the GPU
_IGNORED = 255


class Batches:
    """Shuffled batches that travel to the device while it computes."""

    def __init__(self, cfg: CFG, decoded: Decoded, device: torch.device) -> None:
        self._decoded, self._device, self._size = decoded, device, cfg.train.batch_size
        about = cfg.task.arguments
        self._shift = torch.tensor(about["mean"], device=device) * 255
        self._scale = torch.tensor(about["std"], device=device) * 255
        self._draws = np.random.default_rng(0)

    def next(self) -> tuple[Tensor, Tensor]:
        """Return float32 [B, 3, H, W], normalised, as channels_last, and int64 [B, H, W]."""
        chosen = self._draws.integers(len(self._decoded), size=self._size)
        images, masks = (self._moved(array) for array in self._decoded.take(chosen).values())
        return images.float().sub_(self._shift).div_(self._scale).permute(0, 3, 1, 2), masks.long()

    def _moved(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)


def main() -> None:
    """Train until everything is measured."""
    cfg, watch = gpu_work.given()
    device = torch.device(cfg.executor.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    source = open_source(cfg.data)
    batches = Batches(cfg, load_split(cfg.data, source, "train"), device)
    model = build(cfg.model.target, cfg.model.arguments, offered=source.facts)
    model = model.to(device, memory_format=torch.channels_last).train()
    forward = torch.compile(model) if cfg.executor.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    is_bf16 = cfg.executor.precision == "bf16"
    step = 0
    while True:
        images, masks = batches.next()
        optimizer.zero_grad()
        context = torch.autocast(device.type, torch.bfloat16)
        with context if is_bf16 else contextlib.nullcontext():
            logits = forward(images)
        loss = functional.cross_entropy(logits.float(), masks, ignore_index=_IGNORED)
        loss.backward()
        optimizer.step()
        step += 1
        if step % _SHOW_EVERY == 0:
            loss.item()
        watch.passed(1)


if __name__ == "__main__":
    main()
