"""Packed samples (``data/ports.py``) in the form in which a Keras model takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.data.ports import unpack
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import output_shapes
from toolchain.model.tensorflow import load_tensorflow


def feed(model: Any, x: Any) -> Any:
    """What a tf_keras model takes for ``x (samples, …)``: itself, or a list of arrays in the order of its inputs.

    ``x`` is a numpy array or a TensorFlow tensor.
    """
    if len(model.inputs) == 1:
        return x
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in zip(model.input_names, model.inputs, strict=True)}
    return list(unpack(x, shapes, np.reshape if isinstance(x, np.ndarray) else load_tensorflow().reshape).values())


def targets(model: Any, y: np.ndarray) -> Any:
    """What a tf_keras model is trained on for ``y (samples, outputs)``: itself, or a list in the order of its
    outputs, each as wide as the output."""
    if len(model.outputs) == 1:
        return y
    ends = np.cumsum([int(tensor.shape[-1]) for tensor in model.outputs])
    assert ends[-1] == y.shape[1], f"{y.shape[1]} columns, the outputs give {ends[-1]}"
    return np.split(y, ends[:-1], axis=1)


def packed(found: Any) -> Any:
    """A tf_keras model's outputs side by side, ``(samples, outputs)``; the only one as it is."""
    if not isinstance(found, list | tuple):
        return found
    if isinstance(found[0], np.ndarray):
        return np.concatenate([one.reshape(len(one), -1) for one in found], axis=1)
    return load_tensorflow().concat(list(found), axis=1)


def output_shapes_by_name(graph: Graph) -> dict[str, tuple[int | None, ...]]:
    """The shape of a sample at each output, by the name of the layer that gives it, in the order of the model."""
    shapes = output_shapes(graph)
    return {out.layer: shapes[out] for out in graph.outputs}


def input_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The shape of a sample at each input, by its name, in the order in which the model takes them."""
    return {name: tuple(graph.layers[name].config["shape"]) for name in graph.inputs}
