"""From the `data` section of the configuration to decoded splits and training batches."""

import functools
import time

import numpy as np

from configs.schema import CFG
from dataloader.batches import Share, TrainingBatches
from dataloader.cache import Decoded, decode
from dataloader.decode import Progress
from dataloader.sample import Source
from ops.augment import DRAWS_PER_TRANSFORM, Transform
from utils import storage
from utils.logs import log
from utils.names import build, call, resolve

_SECONDS_BETWEEN_LINES = 5.0


def open_source(cfg: CFG) -> Source:
    """Build the data source.

    Raises:
        UserError: If it cannot be built or its files are not there.
    """
    source: Source = build(cfg.data.source.target, cfg.data.source.arguments)
    return source


def load_split(cfg: CFG, source: Source, name: str, processes: int = 1) -> Decoded:
    """Decode a split, or take it from the cache.

    Args:
        cfg: Image size, cache, workers and what is done about bad samples are used.
        source: What `open_source` returned.
        name: "train", "validation" or "test".
        processes: How many of this machine load it. Several have one copy, on disk, unless the
            configuration says "memory".

    Raises:
        UserError: If the split is empty, or samples are bad and may not be left out; the message
            names their files.
    """
    return decode(
        source.split(name),
        cfg.data.image_size,
        workers=cfg.data.workers,
        cache="disk" if processes > 1 and cfg.data.cache == "auto" else cfg.data.cache,
        directory=storage.resolve(cfg.data.cache_dir),
        key=lambda: f"{source.fingerprint}-{name}",
        progress=_logged(name),
        num_classes=len(source.class_names),
        may_skip=cfg.data.bad_sample_limit if cfg.data.on_bad_sample == "skip" else 0,
        title=f"split {name!r}",
    )


def _logged(name: str) -> Progress:
    """Return a progress that says now and then how much of a split is decoded."""
    next_line = time.monotonic() + _SECONDS_BETWEEN_LINES

    def progress(done: int, total: int) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line += _SECONDS_BETWEEN_LINES
            log.info("decoding  %d of %d %s samples", done, total, name)

    return progress


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

    Args:
        cfg: Transforms, shuffle buffer, batch size and seed are used.
        decoded: The training split.
        share: What this process takes of each batch; None: all of it.
    """
    return TrainingBatches(
        decoded,
        build_transforms(cfg),
        cfg.run.seed,
        buffer=cfg.data.shuffle_buffer,
        batch_size=cfg.train.batch_size,
        share=share,
    )
