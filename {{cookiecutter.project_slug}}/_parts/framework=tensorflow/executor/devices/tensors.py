"""What the shared parts of the executor need to know about TensorFlow's tensors and models."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from utils.framework import keras, tf

Model: TypeAlias = keras.Model
Tensor: TypeAlias = np.ndarray

MODEL_KIND = "keras.Model"
"""What a model is, for messages."""

_NUMBER = re.compile(r"_\d+$")


def count_parameters(model: Model) -> tuple[int, int]:
    """Return how many parameters (single numbers) a model has, and how many of them are trained."""
    owned = (v for layer in model._flatten_layers() for v in layer._trainable_variables)
    parameters = {id(variable): variable for variable in owned}.values()
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return sum(int(np.prod(v.shape)) for v in parameters), trained


def tensors_of(model: Model) -> dict[str, Tensor]:
    """Return copies of a model's weights and running statistics by name.

    The names are the variables' paths in Keras, such as `encoder_0/conv/kernel`, without the
    model's own name. Where Keras has numbered layers that nobody named, over all models of a
    process, they are numbered anew within their parent.
    """
    return {name: np.asarray(variable.numpy()) for name, variable in named_variables(model).items()}


def put_tensors(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into those of a model with the same names, whose shapes they must have."""
    for name, variable in named_variables(model).items():
        if name in tensors:
            variable.assign(tensors[name])


def copy_into(tensors: Mapping[str, Tensor], buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors, so that training can go on changing them.

    `buffers` is what an earlier call returned, and is overwritten where it fits: to write into
    memory that is in use already takes a quarter of the time.
    """
    fitting = {
        name: buffers[name]
        if name in buffers
        and (buffers[name].shape, buffers[name].dtype) == (tensor.shape, tensor.dtype)
        else np.empty(tensor.shape, tensor.dtype)
        for name, tensor in tensors.items()
    }
    for name, buffer in fitting.items():
        np.copyto(buffer, tensors[name])
    return fitting


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file; an OSError if it cannot be written."""
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file({name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(mode)  # safetensors lets nobody but the owner read what it writes


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        OSError: If the file is missing.
        ValueError: If it is damaged.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return tensors


def named_variables(model: Model) -> dict[str, keras.Variable]:
    """Return a model's weights and running statistics by the names that `tensors_of` describes."""
    unnamed = {layer.name for layer in model._flatten_layers() if _is_unnamed(layer)}
    siblings: dict[str, dict[str, str]] = {}
    named: dict[str, keras.Variable] = {}
    for variable in model.weights:
        *scopes, last = variable.path.split("/")
        name = ""
        for scope in scopes[1:] if scopes[:1] == [model.name] else scopes:
            if scope in unnamed:
                kind = _NUMBER.sub("", scope)
                known = siblings.setdefault(name + kind, {})
                scope = known.setdefault(scope, f"{kind}_{len(known)}" if known else kind)
            name += scope + "/"
        name += last
        copies = sum(bool(re.fullmatch(re.escape(name) + r"(#\d+)?", other)) for other in named)
        named[f"{name}#{copies}" if copies else name] = variable
    return named


def _is_unnamed(layer: keras.layers.Layer) -> bool:
    """Return whether a layer has the name that Keras derives from its class."""
    name = _NUMBER.sub("", layer.name).replace("_", "")
    return name == type(layer).__name__.replace("_", "").lower()


def signature_of(fields: Mapping[str, np.ndarray]) -> dict[str, tf.TensorSpec]:
    """Return what any number of samples like some, [B, ...] by name, are to a traced function."""
    return {name: tf.TensorSpec([None, *a.shape[1:]], a.dtype) for name, a in fields.items()}
