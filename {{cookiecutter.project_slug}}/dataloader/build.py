"""From the `data` section of the configuration to decoded splits and training batches."""

import functools

import numpy as np

from configs.schema import CFG
from dataloader.batches import Share, TrainingBatches
from dataloader.cache import Decoded, decode
from dataloader.decode import DecodeOptions
from dataloader.sample import Source
from ops.augment import DRAWS_PER_TRANSFORM, Transform
from utils import storage
from utils.names import build, call, resolve


def open_source(cfg: CFG) -> Source:
    """Build the data source; a UserError says if it cannot be built or its files are missing."""
    source: Source = build(cfg.data.source.target, cfg.data.source.arguments)
    return source


def load_split(cfg: CFG, source: Source, name: str, processes: int = 1) -> Decoded:
    """Decode "train", "validation" or "test", or take it from the cache; see `dataloader.cache`.

    Several processes of one machine have one copy, on disk, unless data.cache is "memory".
    """
    data = cfg.data
    options = DecodeOptions(
        data.image_size,
        workers=data.workers,
        cache="disk" if processes > 1 and data.cache == "auto" else data.cache,
        directory=storage.resolve(data.cache_dir),
        num_classes=len(source.class_names),
        may_skip=data.bad_sample_limit if data.on_bad_sample == "skip" else 0,
    )
    title = f"split {name!r}"
    return decode(source.split(name), options, title, key=lambda: f"{source.fingerprint}-{name}")


def build_transforms(cfg: CFG) -> list[Transform]:
    """Return the random changes of training samples, in their order, each tried on one sample.

    Raises:
        UserError: If one cannot be imported, or refuses its settings.
    """
    transforms: list[Transform] = []
    size = cfg.data.image_size
    for component in cfg.data.transforms:
        function = resolve(component.target, "ops.augment")
        image, mask = np.zeros((1, *size, 3), np.uint8), np.zeros((1, *size), np.uint8)
        draws = np.zeros((1, DRAWS_PER_TRANSFORM))
        call(component.target, function, component.arguments, image, mask, draws)
        transforms.append(functools.partial(function, **component.arguments))
    return transforms


def training_batches(cfg: CFG, decoded: Decoded, share: Share | None = None) -> TrainingBatches:
    """Return the training samples as batches that depend on seed and position alone.

    `share` is what this process takes of each batch; None: all of it.
    """
    return TrainingBatches(
        decoded,
        build_transforms(cfg),
        cfg.run.seed,
        buffer=cfg.data.shuffle_buffer,
        batch_size=cfg.train.batch_size,
        share=share or Share(),
    )
