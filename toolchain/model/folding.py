"""A trained model as inference needs it: no Dropout, activations as layers of their own, BatchNormalization folded.

A BatchNormalization goes into the Dense or convolution before it, or else into the one behind it. One that neither can
take stays: it is exact as a multiplication and an addition per channel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.equivalents import without_wrappers
from toolchain.model.graph import Array, Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.keras_graph import output_shapes
from toolchain.model.names import free_name

#: Layers that do nothing at inference.
TRAINING_ONLY = (
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout",
    "ActivityRegularization",
)  # fmt: skip
#: Layers that mix the channels of a place, the last axis.
OVER_CHANNELS = ("Softmax", "LayerNormalization")
#: The axis of a kernel that counts the output units, and the one that counts the input channels (None: they are one).
KERNELS: dict[str, tuple[str, int, int | None]] = {
    "Dense": ("kernel", -1, -2),
    "Conv1D": ("kernel", -1, -2),
    "Conv2D": ("kernel", -1, -2),
    "SeparableConv1D": ("pointwise_kernel", -1, None),
    "SeparableConv2D": ("pointwise_kernel", -1, None),
}
_WITH_ACTIVATION = (
    "Dense", "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
)  # fmt: skip


def inference_graph(graph: Graph) -> Graph:
    """The same function at inference, exact but for float rounding.

    Raises UnsupportedModelError for a normalization or softmax over another axis than the last.
    """
    gone = {
        out: call.inputs[0] for call, layer, out in graph.walk()
        if layer.kind in TRAINING_ONLY or (layer.kind == "Activation" and activation_of(layer) == "linear")
    }  # fmt: skip
    graph = without_wrappers(graph)
    _check_axes(graph)
    graph = split_activations(graph.without_calls(gone) if gone else graph)
    while True:
        folded = next((found for found in (_fold(graph, out) for out in _normalizations(graph)) if found), None)
        if folded is None:
            return graph
        graph = folded


def _check_axes(graph: Graph) -> None:
    kinds = ("BatchNormalization", *OVER_CHANNELS)
    if not any(layer.kind in kinds for layer in graph.layers.values()):
        return
    shapes = output_shapes(graph)
    for _, layer, out in graph.walk():
        axis = layer.config.get("axis", -1)
        axis = axis if isinstance(axis, (list, tuple)) else [axis]
        if layer.kind in OVER_CHANNELS and len(shapes[out]) > 2:
            raise UnsupportedModelError(
                f"{layer.kind} of a tensor of shape {shapes[out]}", where=f"layer '{layer.name}'",
                allowed="(values) or (steps, values)", hint="a Reshape before and behind it",
            )  # fmt: skip
        if layer.kind in kinds and [int(n) % (len(shapes[out]) + 1) for n in axis] != [len(shapes[out])]:
            raise UnsupportedModelError(
                f"axis = {layer.config.get('axis')} is not supported",
                where=f"layer '{layer.name}'",
                allowed="axis = -1",
            )


def activation_of(layer: Layer) -> str:
    """The name of a layer's activation, ``linear`` when it has none."""
    found: Any = layer.config.get("activation") or "linear"
    if isinstance(found, dict):
        found = found["config"] if isinstance(found.get("config"), str) else found.get("class_name")
    return str(getattr(found, "__name__", found))


def split_activations(graph: Graph) -> Graph:
    """The activation of every Dense and convolution as a layer behind it: ``ReLU``, ``Softmax`` or ``Activation``."""
    taken = {name.lower(): name for name in graph.layers}
    layers, behind = dict(graph.layers), {}
    for name, layer in graph.layers.items():
        found = activation_of(layer)
        if layer.kind in _WITH_ACTIVATION and found != "linear":
            new = free_name(f"{name}_{found}", taken)
            layers[name] = layer.with_config(activation="linear")
            layers[new] = _activation(new, found)
            behind[name] = new
        elif layer.kind == "Activation" and found in ("relu", "softmax"):
            layers[name] = _activation(name, found)
    if not behind:
        return replace(graph, layers=layers)

    def moved(tensor: Tensor) -> Tensor:
        return Tensor(behind[tensor.layer], tensor.call) if tensor.layer in behind else tensor

    calls: list[Call] = []
    for call, _, out in graph.walk():
        calls.append(Call(call.layer, map_tensors(call.arguments, moved), map_tensors(call.keywords, moved)))
        if call.layer in behind:
            calls.append(Call(behind[call.layer], (out,)))
    return Graph(graph.name, layers, tuple(calls), graph.inputs, tuple(moved(out) for out in graph.outputs))


def _activation(name: str, found: str) -> Layer:
    kinds = {"relu": Layer(name, "ReLU", {}), "softmax": Layer(name, "Softmax", {"axis": -1})}
    return kinds.get(found) or Layer(name, "Activation", {"activation": found})


def normalization_of(layer: Layer) -> tuple[Array, Array]:
    """Scale and shift ``(channels,)`` of a BatchNormalization: ``y = x * scale + shift`` at inference."""
    weights = layer.weights
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    gamma, beta = weights.get("gamma", np.ones_like(mean)), weights.get("beta", np.zeros_like(mean))
    scale = gamma / np.sqrt(variance + float(layer.config.get("epsilon", 1e-3)))
    return scale, np.asarray(beta - mean * scale)


def _normalizations(graph: Graph) -> list[Tensor]:
    return [out for _, layer, out in graph.walk() if layer.kind == "BatchNormalization" and graph.uses(layer.name) == 1]


def _fold(graph: Graph, place: Tensor) -> Graph | None:
    """The graph without the BatchNormalization at ``place``, or None where it must stay."""
    call = next(call for call, _, out in graph.walk() if out == place)
    scale, shift = normalization_of(graph.layers[place.layer])
    before = call.inputs[0]
    folded = _fold_back(graph, before, scale, shift) or _fold_forward(graph, place, scale, shift)
    return None if folded is None else folded.without_calls({place: before})


def _fold_back(graph: Graph, before: Tensor, scale: Array, shift: Array) -> Graph | None:
    layer = graph.layers[before.layer]
    alone = graph.uses(layer.name) == 1 and len(graph.readers(before)) == 1 and not graph.is_output(before)
    if not alone or activation_of(layer) != "linear":
        return None
    if layer.kind in KERNELS:
        kernel, _, _ = KERNELS[layer.kind]
        weights = {**layer.weights, kernel: layer.weights[kernel] * scale}
    elif layer.kind in ("DepthwiseConv1D", "DepthwiseConv2D"):
        found = layer.weights["depthwise_kernel"]
        weights = {**layer.weights, "depthwise_kernel": found * scale.reshape(found.shape[-2:])}
    else:
        return None
    weights["bias"] = layer.weights.get("bias", np.zeros_like(shift)) * scale + shift
    return graph.with_layers(replace(layer.with_config(use_bias=True), weights=weights))


def _fold_forward(graph: Graph, place: Tensor, scale: Array, shift: Array) -> Graph | None:
    while True:
        readers = graph.readers(place)
        if len(readers) != 1 or graph.is_output(place):
            return None
        call, out = readers[0]
        layer = graph.layers[call.layer]
        if graph.uses(layer.name) > 1:
            return None
        if layer.kind == "Flatten":
            place = out
            continue
        unpadded = layer.kind == "Dense" or layer.config.get("padding", "valid") == "valid"
        if layer.kind not in ("Dense", "Conv1D", "Conv2D") or not unpadded or layer.config.get("groups", 1) != 1:
            return None
        kernel = layer.weights["kernel"]
        if kernel.shape[-2] % len(scale):
            return None
        repeats = kernel.shape[-2] // len(scale)  # a Flatten puts the channels of every position one after another
        scale, shift = np.tile(scale, repeats), np.tile(shift, repeats)
        by_channel = kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0)
        bias = layer.weights.get("bias", np.zeros(kernel.shape[-1])) + shift @ by_channel
        weights = {**layer.weights, "kernel": kernel * scale[:, None], "bias": bias}
        return graph.with_layers(replace(layer.with_config(use_bias=True), weights=weights))
