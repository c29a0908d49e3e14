"""Imports TensorFlow and Keras quietly; every other file takes them from here."""

import os
import sys
import tempfile

from utils.errors import UserError

__all__ = ["keras", "tf"]

if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise UserError(
        f"KERAS_BACKEND={os.environ['KERAS_BACKEND']}: this project runs Keras on TensorFlow. "
        "Remove that environment variable."
    )


def _import_without_greeting() -> None:
    """Import TensorFlow without the lines about its build that its libraries print when loaded.

    They are written before any setting for logs holds. `TF_CPP_MIN_LOG_LEVEL=0` shows them.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") == "0":
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            import tensorflow  # noqa: F401 -- the import is what prints
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


_import_without_greeting()

import keras  # noqa: E402 -- after TensorFlow
import tensorflow as tf  # noqa: E402
