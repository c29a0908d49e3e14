"""From the `data` section of the configuration to decoded splits and training batches."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from configs.schema import Component, Data
from dataloader.batches import Share, TrainingBatches
from dataloader.cache import decode
from dataloader.decoded import Decoded, DecodeOptions
from dataloader.order import Order, drawn, shuffled
from dataloader.sample import Field, Source
from ops.augment import DRAWS_PER_TRANSFORM, Transform
from utils import storage
from utils.errors import UserError
from utils.names import build, call, completed, resolve


def open_source(data: Data) -> Source:
    """Build the data source; a UserError says if it cannot be built or its files are missing."""
    source: Source = build(data.source.target, data.source.arguments)
    return source


def load_split(data: Data, source: Source, name: str, processes: int = 1) -> Decoded:
    """Return the samples of "train", "validation" or "test", decoded when they are first needed.

    Several processes of one machine have one copy, on disk, unless data.cache is "memory".

    Raises:
        UserError: If the split is empty, or too many samples are bad to be left out.
    """
    options = DecodeOptions(
        workers=data.workers,
        cache="disk" if processes > 1 and data.cache == "auto" else data.cache,
        directory=storage.resolve(data.cache_dir),
        may_skip=data.bad_sample_limit if data.on_bad_sample == "skip" else 0,
    )
    title, key = f"split {name!r}", lambda: f"{source.fingerprint}-{name}"
    return decode(source.split(name), source.spec, options, title, key)


def training_batches(
    data: Data,
    source: Source,
    decoded: Decoded,
    batch_size: int,
    seed: int,
    share: Share | None = None,
) -> TrainingBatches:
    """Return the training samples as batches that depend on seed and position alone.

    `share` is what this process takes of each batch; None: all of it. Each transform is tried on
    samples of zeros.

    Raises:
        UserError: If a sampler or transform cannot be imported, or refuses its settings.
    """
    spec = decoded.layout.spec
    return TrainingBatches(
        decoded,
        _build_transforms(data.transforms, "ops.augment", _zeros(spec, 1), source.facts),
        seed,
        _build_order(data, decoded, seed),
        batch_size,
        share or Share(),
        _build_transforms(data.batch_transforms, None, _zeros(spec, 2), source.facts),
    )


def _build_order(data: Data, decoded: Decoded, seed: int) -> Order:
    sampler = data.sampler
    weights = build(sampler.target, sampler.arguments, decoded.fields, home="dataloader.samplers")
    order = partial(shuffled, length=len(decoded), seed=seed, buffer=data.shuffle_buffer)
    if weights is not None:
        order = partial(drawn, weights=_checked_weights(weights, sampler, len(decoded)), seed=seed)
    # Two epochs that a batch straddles, and those of a batch made ahead.
    return lru_cache(maxsize=4)(order)


def _checked_weights(weights: Any, sampler: Component, count: int) -> np.ndarray:
    array = np.asarray(weights, np.float64)
    if (
        array.shape != (count,)
        or not np.isfinite(array).all()
        or array.min() < 0
        or not array.any()
    ):
        raise UserError(
            f"data.sampler={sampler.target} must return a weight of 0 or greater for each of the "
            f"{count} samples, not all of them 0. Received: {array.dtype} {list(array.shape)}"
        )
    return array


def _build_transforms(
    components: Sequence[Component],
    home: str | None,
    sample: dict[str, np.ndarray],
    offered: Mapping[str, Any],
) -> list[Transform]:
    """Return random changes of samples, in their order, each tried on a sample."""
    transforms: list[Transform] = []
    draws = np.zeros((len(next(iter(sample.values()))), DRAWS_PER_TRANSFORM))
    for component in components:
        function = resolve(component.target, home)
        arguments = completed(function, component.arguments, offered)
        sample = call(component.target, function, arguments, sample, draws)
        transforms.append(partial(function, **arguments))
    return transforms


def _zeros(spec: Mapping[str, Field], count: int) -> dict[str, np.ndarray]:
    return {name: np.zeros((count, *field.shape), field.dtype) for name, field in spec.items()}
