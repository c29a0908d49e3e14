"""Moves samples to a GPU while it still learns from the ones before."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from dataloader.batches import Batch

Item = TypeVar("Item")
Begun = TypeVar("Begun")
Result = TypeVar("Result")

Pair = tuple[Tensor, Tensor]


class _Place(NamedTuple):
    """Memory on the GPU for some images and their masks."""

    images: Tensor
    masks: Tensor
    arrival: torch.cuda.Event
    """They are there."""
    free: torch.cuda.Event
    """They are used up."""


class Transfers:
    """Copies images and masks on a stream of their own, beside the one that computes.

    There are two places: one is read while the other is written. So it takes little of the GPU's
    memory, however far the host is ahead.
    """

    def __init__(self, device: torch.device) -> None:
        """Open the stream of a GPU, which is this thread's current one."""
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._places: list[_Place] = []

    def ahead(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[Pair]:
        """Yield images and masks on the GPU, which hold until the next ones are asked for.

        Args:
            pairs: uint8 [B, H, W, 3] and uint8 [B, H, W], all alike. The host waits for those that
                are not `pinned`.
        """
        for place in one_ahead(self._send, self._receive, pairs):
            try:
                yield place.images, place.masks
            finally:
                place.free.record(torch.cuda.current_stream(self._device))

    def _send(self, pair: tuple[np.ndarray, np.ndarray]) -> _Place:
        images, masks = (torch.from_numpy(array) for array in pair)
        if not self._places or self._places[0].images.shape != images.shape:
            self._places = [self._new_place(images, masks) for _ in range(2)]
        place, _ = self._places
        self._places.reverse()
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(place.free)
            place.images.copy_(images, non_blocking=True)
            place.masks.copy_(masks, non_blocking=True)
            place.arrival.record(self._stream)
        return place

    def _receive(self, place: _Place) -> _Place:
        torch.cuda.current_stream(self._device).wait_event(place.arrival)
        return place

    def _new_place(self, *like: Tensor) -> _Place:
        images, masks = (torch.empty_like(tensor, device=self._device) for tensor in like)
        # What had this memory before may still be at work, and so may we be in the end.
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        for tensor in (images, masks):
            tensor.record_stream(self._stream)
        return _Place(images, masks, torch.cuda.Event(), torch.cuda.Event())


def one_ahead(
    begin: Callable[[Item], Begun], end: Callable[[Begun], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield `end(begin(item))` for each item, in order; the next item has begun by then."""
    begun: list[Begun] = []
    for item in items:
        begun.append(begin(item))
        if len(begun) > 1:
            yield end(begun.pop(0))
    for last in begun:
        yield end(last)


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
