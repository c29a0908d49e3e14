"""Batches of decoded samples: each a function of its position, gathered as a whole."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from dataloader.decoded import Decoded
from dataloader.order import Order, sample_indices
from ops.augment import DRAWS_PER_TRANSFORM, Transform
from utils.seeding import AUGMENTATION, BATCH_AUGMENTATION, uniform_draws

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples side by side; the arrays belong to the batch."""

    fields: dict[str, np.ndarray]
    """[B, ...] by name, as the source's `spec` says and the transforms left it."""
    indices: np.ndarray
    """int64 [B]: which samples of the split these are. In training, where other processes take
    their shares of a batch, it names the samples of the whole batch."""
    position: int
    """Where the first of them stands among the samples that are gone through, from 0."""
    counts: bool = True
    """Whether it counts; else it is only there for all processes to take equally many."""

    def __len__(self) -> int:
        """Return the number of samples here."""
        return len(next(iter(self.fields.values())))


@dataclass(frozen=True, slots=True)
class Share:
    """What one of several processes takes of every batch: an equal run of neighbours."""

    rank: int = 0
    """Which process, from 0."""
    size: int = 1
    """How many processes."""

    def of(self, count: int, batch_size: int) -> np.ndarray | slice:
        """Return which of the samples of some whole batches belong to it."""
        if self.size == 1:
            return slice(None)
        places = np.arange(count).reshape(-1, self.size, batch_size // self.size)
        return places[:, self.rank].ravel()


@dataclass(frozen=True)
class TrainingBatches:
    """The endless stream of shuffled and augmented training samples."""

    decoded: Decoded
    transforms: Sequence[Transform]
    """Applied in this order; see `ops.augment`."""
    seed: int
    order: Order
    """The samples of an epoch, by its number; see `dataloader.order`."""
    batch_size: int = 1
    """Samples in a batch of all processes together."""
    share: Share = Share()
    """What this process takes of each batch."""
    batch_transforms: Sequence[Transform] = ()
    """Applied to whole batches; each process makes all of a batch for them, and keeps its share."""

    def at(self, position: int, count: int) -> Batch:
        """Return the samples at `count` positions, a function of nothing else.

        A sample's draws follow from its position, so it looks the same whichever batch, thread or
        machine it is made in. Where batches are shared, `count` is that of whole batches.
        """
        positions = range(position, position + count)
        indices = sample_indices(positions, len(self.decoded), self.order)
        mine = self.share.of(count, self.batch_size)
        made = slice(None) if self.batch_transforms else mine
        fields = self.decoded.take(indices[made])
        if self.transforms:
            fields = _applied(
                self.transforms, fields, self._draws(AUGMENTATION, positions)[:, made]
            )
        if self.batch_transforms:
            draws = self._draws(BATCH_AUGMENTATION, positions)
            parts = []
            for start in range(0, count, self.batch_size):
                batch = slice(start, start + self.batch_size)
                part = {name: array[batch] for name, array in fields.items()}
                parts.append(_applied(self.batch_transforms, part, draws[:, batch]))
            fields = {name: np.concatenate([p[name] for p in parts])[mine] for name in parts[0]}
        return Batch(fields, indices, position)

    def _draws(self, stream: int, positions: range) -> np.ndarray:
        """Return what the transforms of a stream draw, float64 [transforms, positions, 4]."""
        some = self.transforms if stream == AUGMENTATION else self.batch_transforms
        width = DRAWS_PER_TRANSFORM * len(some)
        draws = uniform_draws(self.seed, stream, positions.start, len(positions), width)
        return draws.reshape(len(positions), len(some), DRAWS_PER_TRANSFORM).swapaxes(0, 1)


def _applied(
    transforms: Sequence[Transform], fields: dict[str, np.ndarray], draws: np.ndarray
) -> dict[str, np.ndarray]:
    for transform, own in zip(transforms, draws, strict=True):
        fields = transform(fields, own)
    return fields


def evaluation_batches(
    decoded: Decoded,
    batch_size: int,
    part: tuple[int, int] = (0, 1),
    share: Share | None = None,
    workers: int = 0,
) -> Generator[Batch]:
    """Yield a split in order and unchanged, made ahead by threads; the last batch may be smaller.

    Each sample is in the share of one process. All processes are given equally many batches, since
    a model that lies on all of them is run by all of them: where there is no sample left for one,
    it repeats one, in a batch that does not count.

    `part` is (k, n) for every n-th sample from the k-th on, k from 0: lists are often sorted by
    class, so a part that lay together would not stand for the whole.
    """
    number, parts = part
    share = share or Share()
    indices = np.arange(number, len(decoded), parts, dtype=np.int64)

    def batch_at(start: int) -> Batch:
        batch = indices[start : start + batch_size]
        mine = batch[share.rank :: share.size]
        chosen = mine if len(mine) else batch[:1]
        return Batch(decoded.take(chosen), chosen, start, counts=len(mine) > 0)

    return prefetched(batch_at, range(0, len(indices), batch_size), workers)


def prefetched(
    fetch: Callable[[Argument], Result], arguments: Iterable[Argument], workers: int
) -> Generator[Result]:
    """Yield `fetch(argument)` for each argument, in order, made ahead by threads.

    An exception in `fetch` is raised where its result would have come. Closing the iterator, or
    leaving it to the garbage collector, ends the threads. The arguments may be endless: at most
    `workers` + 1 are taken in advance. 0 workers call `fetch` in this thread when a result is
    asked for.
    """
    if workers <= 0:
        yield from map(fetch, arguments)
        return
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    try:
        for argument in arguments:
            waiting.append(pool.submit(fetch, argument))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
