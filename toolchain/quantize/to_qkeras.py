"""A plain float graph as a QKeras graph: quantized twins of the layers, quantizers where tensors must be narrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.fixed_point import FixedPoint
from toolchain.model.graph import Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.names import free_name
from toolchain.quantize.formats import MOVING, is_composed, is_function, kernel_of
from toolchain.quantize.qkeras_formats import to_quantized_bits, to_quantized_relu


def quantized_graph(graph: Graph, formats: Mapping[str, FixedPoint]) -> Graph:
    """QKeras' twin of a plain graph (``model.rewriting.plain_graph``), weights not yet rounded.

    Sums keep every bit. Inputs, results of activations, and whatever a kernel, a table or a product of two tensors
    reads get the formats of ``choose_formats``.
    """
    return _Twin(graph, formats).build()


class _Twin:
    def __init__(self, graph: Graph, formats: Mapping[str, FixedPoint]) -> None:
        self.graph, self.formats = graph, formats
        self.layers: dict[str, Layer] = {}
        self.calls: list[Call] = []
        self.place: dict[Tensor, Tensor] = {}  # of the float graph -> of the twin
        self.narrow: set[Tensor] = set()
        self.taken = {name.lower(): name for name in graph.layers}
        self.named: dict[str, str] = {}  # layer -> the quantizer behind it
        self.mixed = _mixed(graph)

    def build(self) -> Graph:
        for call, layer, out in self.graph.walk():
            self._add(call, layer, out)
        outputs = tuple(self._moved(out) for out in self.graph.outputs)
        return Graph(self.graph.name, self.layers, tuple(self.calls), self.graph.inputs, outputs)

    def _add(self, call: Call, layer: Layer, out: Tensor) -> None:
        if layer.kind == "InputLayer":
            self._call(layer, call)
            indices = [reader for reader, _ in self.graph.readers(out) if self._kind(reader) == "Embedding"]
            if indices:
                self._keep(out, out)
            else:
                self._quantizer(out, out, f"{layer.name}_quantized", self.formats[layer.name])
        elif kernel_of(layer):
            self._narrow_inputs(call)
            self._keep(out, self._call(self._kernel_layer(layer), call), narrow=False)
        elif layer.kind == "ReLU" and not is_function(layer):
            made = Layer(layer.name, "QActivation", {"activation": to_quantized_relu(self.formats[layer.name])})
            self._keep(out, self._call(made, call))
        elif is_function(layer) or is_composed(layer):
            self._narrow_inputs(call)
            given = self._call(layer, call)
            self._quantizer(out, given, f"{layer.name}_quantized", self.formats[layer.name])
        else:
            if layer.kind == "Embedding":
                form, table = self.formats[layer.name], layer.weights["embeddings"]
                layer = layer.with_weights(embeddings=form.values_of(form.words_of(table)))
                layer = layer.with_config(trainable=False)  # it has no quantizer that could hold its grid
            if layer.kind == "Multiply":
                self._narrow_inputs(call)
            narrow = layer.kind in (*MOVING, "Embedding") and all(read in self.narrow for read in call.inputs)
            narrow = narrow and layer.name not in self.mixed
            self._keep(out, self._call(layer, call), narrow)

    def _kind(self, call: Call) -> str:
        return self.graph.layers[call.layer].kind

    def _kernel_layer(self, layer: Layer) -> Layer:
        first = "depthwise" if layer.kind == "DepthwiseConv2D" else "kernel"
        config = {
            key: value for key, value in layer.config.items() if not key.endswith(("_initializer", "_constraint"))
        }
        config |= {
            f"{first}_quantizer": to_quantized_bits(self.formats[layer.name]),
            "bias_quantizer": to_quantized_bits(self.formats[f"{layer.name}.bias"]),
            "activation": None,
        }
        return Layer(layer.name, f"Q{layer.kind}", config, layer.weights)

    def _narrow_inputs(self, call: Call) -> None:
        """Put a quantizer behind every tensor that ``call`` reads and that has none."""
        for read in call.inputs:
            if read not in self.narrow:
                name = self.named.get(read.layer) or free_name(f"{read.layer}_narrow", self.taken)
                self.named[read.layer] = name
                self._quantizer(read, self._moved(read), name, self.formats[f"{read.layer}.format"])

    def _quantizer(self, tensor: Tensor, given: Tensor, name: str, form: FixedPoint) -> None:
        layer = self.layers.get(name) or Layer(name, "QActivation", {"activation": to_quantized_bits(form)})
        self.layers[name] = layer
        self.calls.append(Call(name, (given,)))
        self._keep(tensor, Tensor(name, sum(call.layer == name for call in self.calls) - 1))

    def _call(self, layer: Layer, call: Call) -> Tensor:
        self.layers[layer.name] = layer
        arguments, keywords = map_tensors(call.arguments, self._moved), map_tensors(call.keywords, self._moved)
        self.calls.append(Call(layer.name, arguments, keywords))
        return Tensor(layer.name, sum(made.layer == layer.name for made in self.calls) - 1)

    def _moved(self, tensor: Tensor) -> Tensor:
        return self.place.get(tensor, tensor)

    def _keep(self, tensor: Tensor, twin: Tensor, narrow: bool = True) -> None:
        self.place[tensor] = twin
        if narrow:
            self.narrow.add(tensor)


def _mixed(graph: Graph) -> set[str]:
    """Layers that move values of narrow tensors in one call and of wide ones in another: all calls count as wide."""
    found: set[str] = set()
    while True:
        narrow: dict[str, list[bool]] = {}
        known: set[Tensor] = set()
        for call, layer, out in graph.walk():
            one = layer.kind in ("InputLayer", "ReLU") or is_function(layer) or is_composed(layer)
            if layer.kind in (*MOVING, "Embedding"):
                one = all(read in known for read in call.inputs)
                narrow.setdefault(layer.name, []).append(one)
            if one and layer.name not in found:
                known.add(out)
        mixed = {name for name, calls in narrow.items() if any(calls) and not all(calls)}
        if mixed <= found:
            return found
        found |= mixed


def set_to_quantized(model: Any) -> None:
    """Store the quantized values as the weights: quantizing them again changes nothing, not even by float rounding."""
    import numpy as np

    for layer in model.layers:
        quantizer = kernel_quantizer(layer)
        if quantizer is not None:
            weights = [quantizer(kernel_variable(layer))]
            if layer.use_bias:
                weights.append(layer.bias_quantizer_internal(layer.bias))
            layer.set_weights([np.asarray(weight) for weight in weights])


def kernel_quantizer(layer: Any) -> Any:
    """The quantizer of a QKeras layer's kernel, or None."""
    found = getattr(layer, "depthwise_quantizer_internal", None)
    return found if found is not None else getattr(layer, "kernel_quantizer_internal", None)


def kernel_variable(layer: Any) -> Any:
    """The kernel of a QKeras layer as a TensorFlow variable."""
    found = getattr(layer, "depthwise_kernel", None)
    return found if found is not None else layer.kernel
