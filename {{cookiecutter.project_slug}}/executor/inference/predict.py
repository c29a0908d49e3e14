"""Predicts masks for images of one's own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.colours import class_colours
from executor.devices.oom import explain_out_of_memory
from executor.inference.load import load
from ops.images import decode_image, overlay, resize_mask
from utils import storage
from utils.errors import UserError
from utils.memory import OutOfMemory

_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def predict(
    path: str, images: Sequence[str], output: str, overrides: Sequence[str] = ()
) -> list[Path]:
    """Write a mask and an overlay for each image, at the image's own size.

    Args:
        path: The run's folder.
        images: Image files, and folders whose image files are all taken.
        output: Folder for `<name>_mask.png`, whose values are class indices (with a palette, so
            that it can be looked at), and `<name>_overlay.png`.
        overrides: `key.path=value` words laid over the run's configuration.

    Returns:
        The files written.

    Raises:
        UserError: If an image cannot be read, two have one name, or there are no weights yet.
    """
    files = _listed(images)
    written: list[Path] = []
    when = lambda: f"after {len(written) // 2} of {len(files)} images"  # noqa: E731
    with explain_out_of_memory(when, _advice):
        predictor = load(path, overrides)
        names, size = predictor.class_names, predictor.cfg.data.image_size
        colours = class_colours(names)[: len(names)]
        for file in files:
            content, name = storage.read_bytes(str(file)), storage.shown(str(file))
            image = decode_image(content, name)
            small = np.array(decode_image(content, name, size))  # as in training
            mask = resize_mask(predictor.predict(small[None])[0], image.shape[:2])
            written += _write(Path(output), file.stem, image, mask, colours)
    return written


def _advice(memory: OutOfMemory) -> list[str]:
    """Say what to do where memory runs out, though one image at a time is predicted."""
    other = ", or predict on the CPU: set CUDA_VISIBLE_DEVICES to nothing"
    return [f"End other programs that use the memory{other if memory.device == 'GPU' else ''}."]


def _listed(images: Sequence[str]) -> list[Path]:
    """Return all image files; refuse what is missing before any work is done."""
    files: list[Path] = []
    for name in images:
        given = Path(name)
        if given.is_dir():
            inside = sorted(f for f in given.iterdir() if f.suffix.lower() in _ENDINGS)
            if not inside:
                raise UserError(f"{storage.shown(name)}: there is no image in this folder.")
            files += inside
        elif given.is_file():
            files.append(given)
        else:
            raise UserError(f"{storage.shown(name)}: there is no such image or folder.")
    stems = [file.stem for file in files]
    twice = next((file for file in files if stems.count(file.stem) > 1), None)
    if twice is not None:
        raise UserError(f"two images are called {twice.stem!r}; predict them one after the other.")
    return files


def _write(
    folder: Path, stem: str, image: np.ndarray, mask: np.ndarray, colours: np.ndarray
) -> list[Path]:
    files = [folder / f"{stem}_mask.png", folder / f"{stem}_overlay.png"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(mask)
        picture.putpalette(colours.ravel().tolist())
        picture.save(files[0])
        Image.fromarray(overlay(image, mask, colours)).save(files[1])
    except OSError as error:
        raise UserError(f"{storage.shown(str(folder))}: cannot be written ({error}).") from error
    return files
