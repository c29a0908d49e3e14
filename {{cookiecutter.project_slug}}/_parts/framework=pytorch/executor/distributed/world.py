"""The processes that train one model together, and their exchanges."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

STRATEGIES = ("single", "ddp", "fsdp")

_LEAST_PART = 100_000  # parameters; to collect a smaller part takes longer than it saves memory


@dataclass(eq=False)
class World:
    """One of the processes of a training; without arguments, one that trains alone."""

    strategy: str = "single"
    """One of `STRATEGIES`."""
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the processes of this machine."""
    local_size: int = 1

    def __str__(self) -> str:
        return f"{self.strategy}, {self.size} processes" if self.size > 1 else self.strategy

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def replicas(self) -> int:
        """In how many shares all processes together take a batch."""
        return self.size

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of all processes' arrays, which all must have the same shape and type."""
        if self.size == 1:
            return array
        total = torch.from_numpy(np.array(array))
        torch.distributed.all_reduce(total)
        return total.numpy()

    def largest(self, *numbers: int) -> list[int]:
        """Return for each number the largest that a process gave; 0 or greater."""
        if self.size == 1:
            return list(numbers)
        most = torch.tensor(numbers, dtype=torch.int64)
        torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
        return [int(number) for number in most]

    def broadcast(self, content: bytes) -> bytes:
        """Return what the first process gave; what the others give does not matter."""
        return content if self.size == 1 else self._sent_by(0, content)

    def gather(self, content: bytes) -> list[bytes]:
        """Return what each process gave, in the order of their ranks."""
        if self.size == 1:
            return [content]
        return [self._sent_by(rank, content) for rank in range(self.size)]

    def _sent_by(self, rank: int, content: bytes) -> bytes:
        length = self.largest(len(content) if rank == self.rank else 0)[0]
        received = torch.empty(length, dtype=torch.uint8)
        if rank == self.rank:
            received.numpy()[:] = np.frombuffer(content, np.uint8)
        torch.distributed.broadcast(received, rank)
        return received.numpy().tobytes()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one device by their mean over the processes, in one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().float().reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def shard(self, model: nn.Module) -> None:
        """Leave each process a part of a model's parameters (FSDP2).

        The larger of its modules are collected one at a time, when they are used; the rest of the
        model is one more such part.
        """
        from torch.distributed.fsdp import fully_shard

        # Nothing here changes what a model returns in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        for part in _parts(model):
            if sum(p.numel() for p in part.parameters()) >= _LEAST_PART:
                fully_shard(part)
        fully_shard(model)

    def wrapped(self, model: nn.Module, *, leaves_some: bool) -> nn.Module:
        """Return what to call in training, so that gradients are averaged over the processes.

        `leaves_some`: there are parameters that take no part in it, and stay as they are.
        """
        if self.strategy != "ddp":
            return model
        from torch.nn.parallel import DistributedDataParallel

        # Statistics are averaged by `average`.
        return DistributedDataParallel(
            model,
            forward_sync_buffers=False,
            find_unused_parameters=bool(self.largest(leaves_some)[0]),
            gradient_as_bucket_view=True,
        )

    def accumulating(self, wrapped: nn.Module, *, is_last: bool) -> AbstractContextManager[Any]:
        """Return the context of a forward and backward pass over a part of a batch.

        Gradients are exchanged with the last part only.
        """
        if self.strategy == "fsdp":
            wrapped.set_requires_gradient_sync(is_last)  # type: ignore[operator]
        elif self.strategy == "ddp" and not is_last:
            context: AbstractContextManager[Any] = wrapped.no_sync()  # type: ignore[operator]
            return context
        return nullcontext()


def _parts(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that a model consists of, lists of modules opened."""
    for part in model.children():
        if isinstance(part, nn.ModuleList | nn.ModuleDict):
            yield from _parts(part)
        else:
            yield part
