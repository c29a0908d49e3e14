"""From the `data` section of the configuration to decoded splits and training batches."""

import functools
from collections.abc import Mapping

import numpy as np

from configs.schema import Data
from dataloader.batches import Share, TrainingBatches
from dataloader.cache import Decoded, decode
from dataloader.decode import DecodeOptions
from dataloader.sample import Field, Source
from ops.augment import DRAWS_PER_TRANSFORM, Transform
from utils import storage
from utils.names import build, call, resolve


def open_source(data: Data) -> Source:
    """Build the data source; a UserError says if it cannot be built or its files are missing."""
    source: Source = build(data.source.target, data.source.arguments)
    return source


def load_split(data: Data, source: Source, name: str, processes: int = 1) -> Decoded:
    """Decode "train", "validation" or "test", or take it from the cache.

    Several processes of one machine have one copy, on disk, unless data.cache is "memory".

    Raises:
        UserError: If the split is empty, or samples are bad and may not be left out.
    """
    options = DecodeOptions(
        workers=data.workers,
        cache="disk" if processes > 1 and data.cache == "auto" else data.cache,
        directory=storage.resolve(data.cache_dir),
        may_skip=data.bad_sample_limit if data.on_bad_sample == "skip" else 0,
    )
    title, key = f"split {name!r}", lambda: f"{source.fingerprint}-{name}"
    return decode(source.split(name), source.spec, options, title, key)


def build_transforms(data: Data, spec: Mapping[str, Field]) -> list[Transform]:
    """Return the random changes of training samples, in their order, each tried on one sample.

    Raises:
        UserError: If one cannot be imported, or refuses its settings.
    """
    transforms: list[Transform] = []
    for component in data.transforms:
        function = resolve(component.target, "ops.augment")
        sample = {name: np.zeros((1, *field.shape), field.dtype) for name, field in spec.items()}
        draws = np.zeros((1, DRAWS_PER_TRANSFORM))
        call(component.target, function, component.arguments, sample, draws)
        transforms.append(functools.partial(function, **component.arguments))
    return transforms


def training_batches(
    data: Data, decoded: Decoded, batch_size: int, seed: int, share: Share | None = None
) -> TrainingBatches:
    """Return the training samples as batches that depend on seed and position alone.

    `share` is what this process takes of each batch; None: all of it.
    """
    return TrainingBatches(
        decoded,
        build_transforms(data, decoded.layout.spec),
        seed,
        buffer=data.shuffle_buffer,
        batch_size=batch_size,
        share=share or Share(),
    )
