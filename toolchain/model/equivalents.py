"""Layers that are others under another name, the function kept.

``Normalization`` and ``Rescaling`` are a BatchNormalization with fixed numbers, ``TimeDistributed(Dense)`` is a Dense,
``Bidirectional`` two recurrent layers and a merge.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Array, Call, Graph, Layer, Tensor
from toolchain.model.keras_graph import output_shapes
from toolchain.model.names import free_name

SCALES = ("Normalization", "Rescaling")
#: How ``Bidirectional`` joins its two outputs, and the layer that does so.
MERGE_MODES = {"concat": "Concatenate", "sum": "Add", "mul": "Multiply", "ave": "Average"}


def without_wrappers(graph: Graph) -> Graph:
    """``graph`` without the layers above. Raises UnsupportedModelError for a scale over another axis than the last."""
    layers = dict(graph.layers)
    if any(layer.kind in SCALES for layer in layers.values()):
        shapes = output_shapes(graph)
        for _, layer, out in graph.walk():
            if layer.kind in SCALES:
                layers[layer.name] = _normalization(layer, tuple(size or 0 for size in shapes[out]))
    for name, layer in layers.items():
        if layer.kind == "TimeDistributed":
            inner = layer.config["layer"]
            layers[name] = Layer(name, inner["class_name"], {**inner["config"], "name": name}, layer.weights)
    changed = Graph(graph.name, layers, graph.calls, graph.inputs, graph.outputs)
    return _without_bidirectional(changed)


def _normalization(layer: Layer, shape: tuple[int, ...]) -> Layer:
    """``y = x * scale + shift`` for each channel; it is never trained."""
    scale, shift = _rescaling(layer) if layer.kind == "Rescaling" else _standardization(layer, shape)
    channels = shape[-1]
    if any(value.size not in (1, channels) for value in (scale, shift)):
        raise UnsupportedModelError(
            f"has {scale.size} scales for {channels} channels", where=f"layer '{layer.name}'",
            allowed="one number, or one for each channel (the last axis)",
        )  # fmt: skip
    ones = np.ones(channels)
    weights = {
        "gamma": scale.reshape(-1) * ones, "beta": shift.reshape(-1) * ones,
        "moving_mean": 0.0 * ones, "moving_variance": ones,
    }  # fmt: skip
    return Layer(layer.name, "BatchNormalization", {"epsilon": 0.0, "trainable": False}, weights)


def _rescaling(layer: Layer) -> tuple[Array, Array]:
    return np.asarray(layer.config["scale"], float), np.asarray(layer.config.get("offset", 0.0), float)


def _standardization(layer: Layer, shape: tuple[int, ...]) -> tuple[Array, Array]:
    axis = layer.config.get("axis", -1)
    axes = [axis] if isinstance(axis, int) else list(axis or ())
    if axes and [int(n) % (len(shape) + 1) for n in axes] != [len(shape)]:
        raise UnsupportedModelError(
            f"axis = {axis} is not supported", where=f"layer '{layer.name}'", allowed="axis = -1 or None"
        )
    mean, variance = (np.asarray(layer.weights.get(key, layer.config.get(key)), float) for key in ("mean", "variance"))
    scale = 1.0 / np.maximum(np.sqrt(variance), 1e-7)  # Keras' own smallest deviation
    return scale, -mean * scale


def _without_bidirectional(graph: Graph) -> Graph:
    if not any(layer.kind == "Bidirectional" for layer in graph.layers.values()):
        return graph
    taken = {name.lower(): name for name in graph.layers}
    layers: dict[str, Layer] = {}
    calls: list[Call] = []
    ways: dict[str, tuple[Layer, Layer]] = {}
    for call, layer, out in graph.walk():
        if layer.kind != "Bidirectional":
            layers[layer.name] = layer
            calls.append(call)
            continue
        if layer.name not in ways:
            ways[layer.name] = _both_ways(layer, taken)
            layers.update({way.name: way for way in ways[layer.name]})
            kind = MERGE_MODES[layer.config.get("merge_mode", "concat")]
            layers[layer.name] = Layer(layer.name, kind, {"axis": -1} if kind == "Concatenate" else {})
        calls += [Call(way.name, call.arguments, call.keywords) for way in ways[layer.name]]
        calls.append(Call(layer.name, ([Tensor(way.name, out.call) for way in ways[layer.name]],)))
    return Graph(graph.name, layers, tuple(calls), graph.inputs, graph.outputs)


def _both_ways(layer: Layer, taken: dict[str, str]) -> tuple[Layer, Layer]:
    forward: Any = layer.config["layer"]
    turned = {**forward["config"], "go_backwards": not forward["config"].get("go_backwards")}
    backward: Any = layer.config.get("backward_layer") or {**forward, "config": turned}
    names = list(layer.weights)
    first = len(names) // 2
    if forward["class_name"] != backward["class_name"] or len(names) % 2:
        raise UnsupportedModelError("its two layers are of different kinds", where=f"layer '{layer.name}'")
    made = []
    for way, inner, keys in (("forward", forward, names[:first]), ("backward", backward, names[first:])):
        name = free_name(f"{layer.name}_{way}", taken)
        weights = {key.split("/", 1)[-1]: layer.weights[key] for key in keys}
        made.append(Layer(name, inner["class_name"], {**inner["config"], "name": name}, weights))
    return made[0], made[1]
