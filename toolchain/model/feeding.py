"""Packed samples (``data/ports.py``) in the form in which a Keras model takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.data.ports import unpack
from toolchain.model.graph import Graph
from toolchain.model.tensorflow import load_tensorflow


def feed(model: Any, x: Any) -> Any:
    """What a tf_keras model takes for ``x (samples, …)``: itself, or a list of arrays in the order of its inputs.

    ``x`` is a numpy array or a TensorFlow tensor.
    """
    if len(model.inputs) == 1:
        return x
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in zip(model.input_names, model.inputs, strict=True)}
    return list(unpack(x, shapes, np.reshape if isinstance(x, np.ndarray) else load_tensorflow().reshape).values())


def input_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The shape of a sample at each input, by its name, in the order in which the model takes them."""
    return {name: tuple(graph.layers[name].config["shape"]) for name in graph.inputs}
