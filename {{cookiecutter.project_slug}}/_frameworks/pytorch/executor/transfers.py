"""Moves samples to a GPU while it still learns from the ones before."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from dataloader.batches import Batch

Item = TypeVar("Item")
Begun = TypeVar("Begun")
Result = TypeVar("Result")


class _Sent(NamedTuple):
    batch: Batch
    """What is copied; its memory must stay as it is until then."""
    images: Tensor
    masks: Tensor
    arrival: torch.cuda.Event


class Transfers:
    """Copies batches on a stream of their own, beside the one that computes."""

    def __init__(self, device: torch.device) -> None:
        """Open the stream of a GPU."""
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def ahead(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches whose images and masks are on the GPU; the next is on its way then."""
        return one_ahead(self._send, self._receive, batches)

    def _send(self, batch: Batch) -> _Sent:
        with torch.cuda.stream(self._stream):
            images, masks = (
                torch.from_numpy(array).to(self._device, non_blocking=True)
                for array in (batch.images, batch.masks)
            )
            return _Sent(batch, images, masks, self._stream.record_event())

    def _receive(self, sent: _Sent) -> Batch:
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(sent.arrival)
        for tensor in (sent.images, sent.masks):
            tensor.record_stream(computing)  # its memory is another stream's
        moved: dict[str, Any] = {"images": sent.images, "masks": sent.masks}
        return replace(sent.batch, **moved)


def one_ahead(
    begin: Callable[[Item], Begun], end: Callable[[Begun], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield `end(begin(item))` for each item, in order; the next item has begun by then."""
    former: list[Begun] = []
    for item in items:
        former.append(begin(item))
        if len(former) > 1:
            yield end(former[0])
            del former[0]  # only now: it is used until the next is asked for
    for begun in former:
        yield end(begun)


def pinned(batch: Batch, device: torch.device) -> Batch:
    """Return a batch in memory that a GPU reads by itself, while the host goes on.

    Args:
        batch: The samples.
        device: The GPU; threads begin with the first one as theirs.
    """
    with torch.cuda.device(device):
        return replace(batch, images=_pinned(batch.images), masks=_pinned(batch.masks))


def _pinned(array: np.ndarray) -> np.ndarray:
    page_locked: np.ndarray = torch.from_numpy(array).pin_memory().numpy()
    return page_locked
