"""Loads a trained run, to predict with arrays: `load("runs/default").predict(images)`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from configs.schema import CFG
from dataloader.build import open_source
from dataloader.sample import Source
from executor.checkpoints.weights import best_weights, load_strictly
from executor.devices.device import Device
from executor.devices.tensors import Model
from executor.inference.build import build_model
from executor.inference.forward import predict_classes, predict_probabilities
from executor.runs.run_directory import RunDirectory, open_existing_run, without_initial_weights
from ops.images import resize_image, resize_mask
from utils.errors import UserError


@dataclass(frozen=True)
class Predictor:
    """A run's best weights, ready to predict, with the run's configuration and data source."""

    cfg: CFG
    model: Model
    device: Device
    source: Source
    step: int | None
    """The step of the weights; None where only the exported file is left."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class; the position is the class index."""
        return self.source.class_names

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the most likely class of each pixel.

        Args:
            images: uint8 [N, H, W, 3] of any size; the model sees them at `data.image_size`.

        Returns:
            uint8 [N, H, W] of class indices, at the size of the images.

        Raises:
            UserError: If the images have another form.
        """
        classes = self._batched(images, predict_classes)
        return np.stack([resize_mask(mask, images.shape[1:3]) for mask in classes])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of each class at each pixel.

        Args:
            images: As for `predict`.

        Returns:
            float32 [N, classes, h, w], at the size `data.image_size` that the model sees.

        Raises:
            UserError: If the images have another form.
        """
        return self._batched(images, predict_probabilities)

    def _batched(
        self, images: np.ndarray, function: Callable[[Model, np.ndarray, Device], np.ndarray]
    ) -> np.ndarray:
        """Return what a function makes of images, taken as many at once as in training."""
        is_batch = images.ndim == 4 and images.shape[-1] == 3 and len(images)
        if images.dtype != np.uint8 or not is_batch:
            raise UserError(
                f"images: received {images.dtype} {list(images.shape)}, expected uint8 "
                "[N, height, width, 3] with at least one image."
            )
        size, train = self.cfg.data.image_size, self.cfg.train
        small = np.stack([resize_image(image, size) for image in images])
        step = train.batch_size // train.accumulate
        parts = [small[start : start + step] for start in range(0, len(small), step)]
        return np.concatenate([function(self.model, part, self.device) for part in parts])


def load(path: str, overrides: Sequence[str] = ()) -> Predictor:
    """Return a run's best weights in its model.

    Args:
        path: The run's folder, or its URL.
        overrides: `key.path=value` words laid over the run's configuration.

    Raises:
        UserError: If there is no such run, it has no weights yet, or its model's code has changed.
    """
    with open_existing_run(path) as run:
        return load_run(run, overrides)


def load_run(run: RunDirectory, overrides: Sequence[str] = ()) -> Predictor:
    """Return the best weights of a run whose folder is open; see `load`."""
    cfg = run.load_config(overrides)
    weights, step = best_weights(run)
    device, source = Device(cfg), open_source(cfg.data)
    model = build_model(without_initial_weights(cfg), source.class_names, device)
    load_strictly(model, weights, run.address)
    return Predictor(cfg, model, device, source, step)
