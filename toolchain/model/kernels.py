"""The kernels of a graph: the weights that inputs are multiplied by, what pruning counts and cuts.

A kernel's key is its layer's name, or ``layer/weight`` where a layer has several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.model.graph import Array, Graph, Layer

Mask = NDArray[np.bool_]


def kernels_of(graph: Graph) -> dict[str, Array]:
    """Every trainable kernel by its key, in the order of the layers."""
    return {key: graph.layers[key.split("/")[0]].weights[name] for key, name in _places(graph).items()}


def with_kernels(graph: Graph, kernels: Mapping[str, Array]) -> Graph:
    """The graph with some kernels replaced by ones of the same shape."""
    places = _places(graph)
    changed: dict[str, Layer] = {}
    for key, kernel in kernels.items():
        layer = changed.get(key.split("/")[0], graph.layers[key.split("/")[0]])
        assert layer.weights[places[key]].shape == kernel.shape
        changed[layer.name] = layer.with_weights(**{places[key]: kernel})
    return graph.with_layers(*changed.values())


def with_weights_of(graph: Graph, model: Any) -> Graph:
    """The graph with the weights of a Keras model that has its layers."""
    changed = []
    for name, layer in graph.layers.items():
        if layer.weights:
            values = model.get_layer(name).get_weights()
            changed.append(layer.with_weights(**dict(zip(layer.weights, values, strict=True))))
    return graph.with_layers(*changed)


def kernel_variables(graph: Graph, model: Any) -> dict[str, Any]:
    """The TensorFlow variables of a Keras model with the graph's layers, by the key of the kernel they hold."""
    found = {}
    for key, name in _places(graph).items():
        layer = graph.layers[key.split("/")[0]]
        found[key] = model.get_layer(layer.name).weights[list(layer.weights).index(name)]
    return found


def bias_of(layer: Layer) -> Array | None:
    """A layer's bias, or None."""
    return next((value for name, value in layer.weights.items() if name.split("/")[-1] == "bias"), None)


def _places(graph: Graph) -> dict[str, str]:
    found = {}
    for name, layer in graph.layers.items():
        if not layer.config.get("trainable", True):
            continue
        kernels = [weight for weight, value in layer.weights.items() if weight.endswith("kernel") and value.ndim > 1]
        for weight in kernels:
            found[name if len(kernels) == 1 else f"{name}/{weight}"] = weight
    return found
