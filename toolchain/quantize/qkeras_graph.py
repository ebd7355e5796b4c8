"""A QKeras model's graph in the form that is read: quantizers of activations as layers of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from toolchain.model.folding import TRAINING_ONLY
from toolchain.model.graph import Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.names import free_name
from toolchain.model.rewriting import without_recurrent

#: QKeras' layers with kernels that are read, and the layer of Keras that computes the same with quantized weights.
PLAIN = {
    "QDense": "Dense",
    "QConv1D": "Conv1D",
    "QConv2D": "Conv2D",
    "QDepthwiseConv2D": "DepthwiseConv2D",
}


def readable_graph(graph: Graph) -> Graph:
    """The same function: recurrent layers are unrolled, activations inside QKeras' layers stand behind them, what only
    training needs is gone."""
    graph = without_recurrent(graph)
    gone = {
        out: call.inputs[0] for call, layer, out in graph.walk()
        if layer.kind in TRAINING_ONLY or (layer.kind == "Activation" and layer.config.get("activation") == "linear")
    }  # fmt: skip
    graph = graph.without_calls(gone) if gone else graph
    taken = {name.lower(): name for name in graph.layers}
    graph = replace(graph, layers={name: _softmax(layer) for name, layer in graph.layers.items()})
    layers, behind = dict(graph.layers), {}
    for name, layer in graph.layers.items():
        inside = layer.config.get("activation")
        if layer.kind in PLAIN and inside is not None and _name(inside) != "linear":
            behind[name] = free_name(f"{name}_activation", taken)
            layers[name] = layer.with_config(activation=None)
            layers[behind[name]] = _softmax(Layer(behind[name], "QActivation", {"activation": inside}))
    if not behind:
        return graph

    def moved(tensor: Tensor) -> Tensor:
        return Tensor(behind[tensor.layer], tensor.call) if tensor.layer in behind else tensor

    calls: list[Call] = []
    for call, _, out in graph.walk():
        calls.append(Call(call.layer, map_tensors(call.arguments, moved), map_tensors(call.keywords, moved)))
        if call.layer in behind:
            calls.append(Call(behind[call.layer], (out,)))
    return replace(graph, layers=layers, calls=tuple(calls), outputs=tuple(moved(out) for out in graph.outputs))


def _softmax(layer: Layer) -> Layer:
    """An activation that is a softmax as the layer that it is."""
    if layer.kind in ("Activation", "QActivation") and _name(layer.config.get("activation")) == "softmax":
        return Layer(layer.name, "Softmax", {"axis": -1})
    return layer


def _name(activation: Any) -> str:
    return activation if isinstance(activation, str) else str(getattr(activation, "__name__", ""))
