"""Layers said in simpler ones, the function kept: what pruning and quantization then need not know.

Separable convolutions become a depthwise and a 1x1 convolution; a BatchNormalization that could not be folded and an
average over windows become depthwise convolutions; a final softmax or sigmoid is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from toolchain.model.folding import activation_of, normalization_of
from toolchain.model.graph import Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.keras_graph import output_shapes
from toolchain.model.names import free_name
from toolchain.model.unrolling import RECURRENT, unrolled

Shape = tuple[int, ...]
Rule = Callable[[Layer, Shape, Shape, dict[str, str]], list[Layer] | None]


def plain_graph(graph: Graph) -> Graph:
    """``graph`` in Dense, convolutions, depthwise convolutions, activations, pooling by maximum, merges and shapes."""
    graph = without_recurrent(graph)
    while True:
        plainer = _rewritten(graph)
        if plainer is graph:
            return graph
        graph = plainer


def without_recurrent(graph: Graph) -> Graph:
    """``graph`` with its recurrent layers unrolled over their windows. Raises UnsupportedModelError."""
    if any(layer.kind in RECURRENT for layer in graph.layers.values()):
        return unrolled(graph, output_shapes(graph))
    return graph


def _rewritten(graph: Graph) -> Graph:
    shapes = output_shapes(graph)
    taken = {name.lower(): name for name in graph.layers}
    chains: dict[str, list[Layer]] = {}
    for call, layer, out in graph.walk():
        rule = _RULES.get(layer.kind)
        if rule is not None and layer.name not in chains and call.inputs:
            read = call.inputs[0]
            before = tuple(size or 0 for size in shapes[Tensor(read.layer, read.call)])
            chain = None if 0 in before else rule(layer, before, tuple(size or 0 for size in shapes[out]), taken)
            if chain is not None:
                chains[layer.name] = chain
    return replace_by_chains(graph, chains) if chains else graph


def is_quantized(graph: Graph) -> bool:
    """Whether the graph holds a layer of QKeras."""
    return any(layer.kind.startswith("Q") for layer in graph.layers.values())


def replace_by_chains(graph: Graph, chains: dict[str, list[Layer]]) -> Graph:
    """``graph`` with each named layer replaced by layers applied one after another, at every call of it."""
    ends = {name: chain[-1].name for name, chain in chains.items()}

    def moved(tensor: Tensor) -> Tensor:
        return Tensor(ends.get(tensor.layer, tensor.layer), tensor.call)

    layers: dict[str, Layer] = {}
    calls: list[Call] = []
    for call, layer, out in graph.walk():
        chain = chains.get(call.layer, [layer])
        layers.update({item.name: item for item in chain})
        first = Call(chain[0].name, map_tensors(call.arguments, moved), map_tensors(call.keywords, moved))
        calls.append(first)
        for before, after in pairwise(chain):
            calls.append(Call(after.name, (Tensor(before.name, out.call),)))
    return Graph(graph.name, layers, tuple(calls), graph.inputs, tuple(moved(out) for out in graph.outputs))


def without_final_activation(graph: Graph) -> tuple[Graph, tuple[str, ...]]:
    """``graph`` without a softmax or sigmoid at its outputs, and what was left out: the outputs are logits then.

    The class (largest logit, sign of the logit) is the same.
    """
    left_out = []
    for out in graph.outputs:
        layer = graph.layers[out.layer]
        found = "softmax" if layer.kind == "Softmax" else activation_of(layer)
        if found not in ("softmax", "sigmoid") or graph.uses(layer.name) > 1 or graph.readers(out):
            continue
        left_out.append(f"{found} of '{layer.name}'")
        if layer.kind in ("Softmax", "Activation"):
            read = next(call for call, _, at in graph.walk() if at == out).inputs[0]
            graph = graph.without_calls({out: read})
        else:
            graph = graph.with_layers(layer.with_config(activation="linear"))
    return graph, tuple(left_out)


def _separable(layer: Layer, before: Shape, after: Shape, taken: dict[str, str]) -> list[Layer]:
    config = layer.config
    one_axis = layer.kind == "SeparableConv1D"
    name = free_name(f"{layer.name}_depthwise", taken)
    window = {key: config[key] for key in _WINDOW if key in config}
    depthwise = Layer(
        name, "DepthwiseConv1D" if one_axis else "DepthwiseConv2D",
        {**window, "depth_multiplier": config.get("depth_multiplier", 1), "use_bias": False},
        {"depthwise_kernel": layer.weights["depthwise_kernel"]},
    )  # fmt: skip
    weights = {"kernel": layer.weights["pointwise_kernel"]}
    if "bias" in layer.weights:
        weights["bias"] = layer.weights["bias"]
    pointwise = Layer(
        layer.name, "Conv1D" if one_axis else "Conv2D",
        {
            "filters": config["filters"], "kernel_size": 1, "use_bias": "bias" in weights,
            "activation": config.get("activation", "linear"),
        },
        weights,
    )  # fmt: skip
    return [depthwise, pointwise]


def _normalization(layer: Layer, before: Shape, after: Shape, taken: dict[str, str]) -> list[Layer]:
    scale, shift = normalization_of(layer)
    return _depthwise(layer.name, scale[None, None], shift, 1, (before, after), taken)


def _average(layer: Layer, before: Shape, after: Shape, taken: dict[str, str]) -> list[Layer] | None:
    """An average over windows without padding, or over everything."""
    axes = before[:-1]
    if layer.kind.startswith("Global"):
        window, strides = axes, (1,) * len(axes)
    else:
        window = _pair(layer.config["pool_size"], len(axes))
        strides = _pair(layer.config["strides"] or window, len(axes))
    padded = layer.config.get("padding", "valid") == "same" and any(
        n % s or w > s for n, w, s in zip(axes, window, strides, strict=True)
    )
    # TensorFlow's depthwise convolution has one stride for both axes
    if (
        None in axes
        or padded
        or len(set(strides)) > 1
        or layer.config.get("data_format", "channels_last") != "channels_last"
    ):
        return None
    channels = before[-1]
    kernel = np.full((*window, channels), 1.0 / np.prod(window))
    if len(window) == 1:
        kernel = kernel[:, None]
    return _depthwise(layer.name, kernel, None, strides[0], (before, after), taken)


def _depthwise(
    name: str, kernel: Any, bias: Any, stride: int, shapes: tuple[Shape, Shape], taken: dict[str, str]
) -> list[Layer]:
    """A depthwise convolution over two axes, with reshapes round it where the tensors have another rank."""
    before, after = shapes
    weights = {"depthwise_kernel": np.asarray(kernel)[..., None]}
    if bias is not None:
        weights["bias"] = bias
    config = {"kernel_size": kernel.shape[:2], "strides": (stride, stride), "use_bias": bias is not None}
    config["trainable"] = bias is not None  # the weights of an average stay what they are
    chain = [Layer(name, "DepthwiseConv2D", config, weights)]
    if len(before) < 3:
        places = before[:-1] if len(before) == 2 else (1,)
        wide = (*places, 1, before[-1])
        chain.insert(0, Layer(free_name(f"{name}_in", taken), "Reshape", {"target_shape": wide}))
    if len(before) < 3 or len(after) < 3:
        chain.append(Layer(free_name(f"{name}_out", taken), "Reshape", {"target_shape": after}))
    return chain


def _pair(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(int(n) for n in value) if isinstance(value, (list, tuple)) else (int(value),) * axes


def _one_axis(layer: Layer, before: Shape, after: Shape, taken: dict[str, str]) -> list[Layer]:
    """A depthwise convolution over one axis as one over two, the second a single place long."""
    window, stride, dilation = (
        _pair(layer.config.get(key, 1), 1)[0] for key in ("kernel_size", "strides", "dilation_rate")
    )
    config = {
        "kernel_size": (window, 1), "strides": (stride, stride), "dilation_rate": (dilation, dilation),
        "padding": layer.config.get("padding", "valid"), "depth_multiplier": layer.config.get("depth_multiplier", 1),
        "use_bias": "bias" in layer.weights, "trainable": layer.config.get("trainable", True),
        "activation": layer.config.get("activation", "linear"),
    }  # fmt: skip
    weights = {**layer.weights, "depthwise_kernel": layer.weights["depthwise_kernel"][:, None]}
    return [
        Layer(free_name(f"{layer.name}_in", taken), "Reshape", {"target_shape": (before[0], 1, before[1])}),
        Layer(layer.name, "DepthwiseConv2D", config, weights),
        Layer(free_name(f"{layer.name}_out", taken), "Reshape", {"target_shape": after}),
    ]


def _multiplied(layer: Layer, before: Shape, after: Shape, taken: dict[str, str]) -> list[Layer] | None:
    """Several filters for each channel: a convolution whose other weights are zero."""
    if int(layer.config.get("depth_multiplier", 1)) == 1:
        return None
    kernel = layer.weights["depthwise_kernel"]
    *window, channels, filters = kernel.shape
    whole = np.zeros((*window, channels, channels, filters))
    for channel in range(channels):
        whole[..., channel, channel, :] = kernel[..., channel, :]
    config = {key: value for key, value in layer.config.items() if key in _WINDOW or key in ("use_bias", "activation")}
    weights = {"kernel": whole.reshape(*window, channels, channels * filters)}
    if "bias" in layer.weights:
        weights["bias"] = layer.weights["bias"]
    return [Layer(layer.name, "Conv2D", {**config, "filters": channels * filters}, weights)]


_WINDOW = ("kernel_size", "strides", "padding", "dilation_rate")
_RULES: dict[str, Rule] = {
    "DepthwiseConv1D": _one_axis,
    "DepthwiseConv2D": _multiplied,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
    "BatchNormalization": _normalization,
    "AveragePooling1D": _average,
    "AveragePooling2D": _average,
    "GlobalAveragePooling1D": _average,
    "GlobalAveragePooling2D": _average,
}
