"""A QKeras model read as a ``FixedPointNetwork``: nothing is assumed, every quantizer is asked for its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint
from toolchain.model.graph import Call, Graph, Layer, Tensor
from toolchain.model.keras_graph import build_keras, call_model, graph_and_twin, random_inputs
from toolchain.model.names import check_name
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.quantize.approximate import compose
from toolchain.quantize.formats import is_composed, is_function
from toolchain.quantize.hard_functions import add_hard, is_hard
from toolchain.quantize.qkeras_formats import exact_format, format_of, quantized_values
from toolchain.quantize.qkeras_graph import readable_graph
from toolchain.quantize.qkeras_layers import RULES, Place
from toolchain.results import ApproximateLayer

#: A table has a word for each input word: more bits than this are more than a table should have.
LARGEST_TABLE_BITS = 12
SUPPORTED = (
    "QActivation, QDense, QConv1D, QConv2D, QDepthwiseConv2D, ReLU, functions of one value between quantizers, maximum "
    "pooling, Flatten, Reshape, Permute, padding, cropping, Add, Subtract, Multiply, Average, Maximum, Minimum, "
    "Concatenate, Embedding, Softmax and LayerNormalization before a quantizer"
)


@dataclass(frozen=True, eq=False)
class Reading:
    """A network, and where in the QKeras model (``model``, of ``graph``) the values of its nodes stand."""

    network: FixedPointNetwork
    graph: Graph
    model: Any
    places: dict[str, Tensor] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)  # input layer -> node
    approximate: tuple[ApproximateLayer, ...] = ()
    largest: dict[str, int] = field(default_factory=dict)  # port -> the largest word that names a row of an Embedding


def network_from_qkeras(model: Any, name: str) -> FixedPointNetwork:
    """The integers of a QKeras model whose inputs each pass a QActivation(quantized_bits): the format of the port.

    Raises UnsupportedModelError naming the layer that has no exact meaning.
    """
    return read_qkeras(model, name).network


def read_qkeras(model: Any, name: str) -> Reading:
    """The same, and where the network's nodes stand in the model. Raises UnsupportedModelError."""
    graph, twin = graph_and_twin(model)
    readable = readable_graph(graph)
    if readable.calls == graph.calls and readable.layers == graph.layers:
        return _Reader(readable, twin, name).read()
    rebuilt = build_keras(readable)
    inputs = random_inputs(graph, 16)
    for one, other in zip(call_model(model, inputs), call_model(rebuilt, inputs), strict=True):
        if not np.array_equal(one, other):
            raise UnsupportedModelError(
                "computes something else than its layers one by one", where=name,
                hint="fewer bits: float32 itself rounds where a sum has more than 24",
            )  # fmt: skip
    return _Reader(readable, rebuilt, name).read()


class _Reader:
    """Walks the calls of a graph and adds a node for each."""

    def __init__(self, graph: Graph, model: Any, name: str) -> None:
        self.graph, self.model = graph, model
        self.builder = NetworkBuilder(name)
        self.nodes: dict[Tensor, str] = {}
        self.places: dict[str, Tensor] = {}
        self.ports: dict[str, str] = {}
        self.largest: dict[str, int] = {}
        # a function of one value waits for the quantizer behind it: the node it reads, and the layers applied so far
        self.functions: dict[Tensor, tuple[str, tuple[Any, ...]]] = {}
        # so does a layer that is composed: the node it reads, and the layer
        self.composed: dict[Tensor, tuple[str, Layer]] = {}
        self.approximate: list[ApproximateLayer] = []

    def read(self) -> Reading:
        seen: dict[str, str] = {}
        for name in self.graph.layers:
            for problem in check_name(name, seen, f"layer '{name}'"):
                raise problem
        for call, layer, out in self.graph.walk():
            self._read(call, layer, out)
        outputs = tuple(self._node(out, "the output") for out in self.graph.outputs)
        for name in self.graph.inputs:
            if name not in self.ports:
                raise _no_quantizer(name)
        network = self.builder.build(outputs)
        approximate = tuple(self.approximate)
        return Reading(network, self.graph, self.model, self.places, self.ports, approximate, self.largest)

    def _read(self, call: Call, layer: Layer, out: Tensor) -> None:
        where = f"layer '{layer.name}'"
        if layer.kind == "InputLayer":
            return
        rule = RULES.get(layer.kind)
        if layer.kind == "QActivation":
            node = self._quantizer(call, layer, out)
        elif is_function(layer):
            self._function(call, layer, out)
            return
        elif is_composed(layer):
            self.composed[out] = (self._node(call.inputs[0], where), layer)
            if not self.graph.is_output(out) or layer.kind != "Softmax":
                return
            node = self._composition(self._name(out), out, None)
        elif layer.kind == "Embedding":
            node = self._embedding(call, layer, out)
        elif rule is None:
            raise UnsupportedModelError(
                f"{layer.kind} is not supported in a quantized model", where=where, allowed=SUPPORTED,
                hint="QKeras' layer of the same kind, with quantizers" if f"Q{layer.kind}" in RULES else "",
            )  # fmt: skip
        else:
            inputs = tuple(self._node(read, where) for read in call.inputs)
            node = rule(self.builder, Place(self._name(out), inputs, layer, self.model.get_layer(layer.name)))
        self.nodes[out], self.places[node] = node, out

    def _name(self, out: Tensor) -> str:
        name = out.layer if not out.call else f"{out.layer}_{out.call + 1}"
        return name if name not in self.places else f"{name}_again"

    def _node(self, tensor: Tensor, where: str) -> str:
        if tensor in self.functions or (tensor in self.composed and tensor not in self.nodes):
            kind = "a function of one value" if tensor in self.functions else self.composed[tensor][1].kind
            raise UnsupportedModelError(
                f"{kind} has no quantizer behind it", where=f"layer '{tensor.layer}'",
                hint="put a QActivation(quantized_bits(…)) right behind it",
            )  # fmt: skip
        if tensor not in self.nodes:
            raise _no_quantizer(tensor.layer)
        return self.nodes[tensor]

    def _quantizer(self, call: Call, layer: Layer, out: Tensor) -> str:
        read, quantizer = call.inputs[0], self.model.get_layer(layer.name).quantizer
        where, name = f"layer '{layer.name}'", self._name(out)
        if self.graph.layers[read.layer].kind == "InputLayer":
            if read.layer in self.ports:
                raise UnsupportedModelError(
                    "an input has two quantizers", where=f"layer '{read.layer}'", allowed="one format for each port"
                )
            form = format_of(quantizer, where)
            shape = tuple(int(n) for n in self.graph.layers[read.layer].config["shape"])
            self.ports[read.layer] = name
            return self.builder.input(name, shape, form)
        if read in self.functions:
            node, layers = self.functions[read]
            return self._table(name, node, (*layers, quantizer), where)
        if read in self.composed:
            return self._composition(name, read, format_of(quantizer, where))
        node = self._node(read, where)
        if is_hard(quantizer):
            return add_hard(self.builder, name, node, quantizer)
        try:
            form = format_of(quantizer, where)
        except UnsupportedModelError:
            return self._table(name, node, (quantizer,), where)
        add = self.builder.relu if type(quantizer).__name__ == "quantized_relu" else self.builder.requantize
        return add(name, node, form, layer.name)

    def _composition(self, name: str, tensor: Tensor, result: FixedPoint | None) -> str:
        node, layer = self.composed[tensor]
        while any(other.lower().startswith(f"{name}_".lower()) for other in self.graph.layers):
            name += "_near"  # the nodes within are called name_…, as another layer is
        self.approximate.append(compose(self.builder, name, node, layer, result))
        return name

    def _function(self, call: Call, layer: Layer, out: Tensor) -> None:
        read = call.inputs[0]
        node, layers = self.functions.get(read, ("", ()))
        node = node or self._node(read, f"layer '{layer.name}'")
        self.functions[out] = (node, (*layers, self.model.get_layer(layer.name)))
        if self.graph.is_output(out):
            raise UnsupportedModelError(
                "the output's function of one value has no quantizer behind it", where=f"layer '{layer.name}'",
                hint="put a QActivation(quantized_bits(…)) behind it, or leave a final sigmoid out",
            )  # fmt: skip

    def _table(self, name: str, node: str, steps: tuple[Any, ...], where: str) -> str:
        """A table of what the layers and the quantizer make of every word of ``node``."""
        form = self.builder.format_of(node)
        if form.width > LARGEST_TABLE_BITS:
            raise UnsupportedModelError(
                f"a table for its {form.width}-bit input would have {2**form.width:,} words", where=where,
                allowed=f"at most {LARGEST_TABLE_BITS} bits",
                hint="put a QActivation(quantized_bits(…)) with fewer bits in front of it",
            )  # fmt: skip
        values = table_values(form, steps, where)
        try:
            result = format_of(steps[-1], where)
        except UnsupportedModelError:
            result = exact_format(values, where)
        words = np.round(np.ldexp(values, result.fractional_bits)).astype(np.int64)
        assert np.array_equal(result.values_of(words), values), f"{where}: a table word is not on its grid"
        return self.builder.table(name, node, words, result, name)

    def _embedding(self, call: Call, layer: Layer, out: Tensor) -> str:
        read, where = call.inputs[0], f"layer '{layer.name}'"
        table = np.asarray(self.model.get_layer(layer.name).embeddings, dtype=np.float64)
        if self.graph.layers[read.layer].kind != "InputLayer" or layer.config.get("mask_zero"):
            raise UnsupportedModelError("reads something else than an input, or masks", where=where)
        form = exact_format(table, where)
        port = self.ports.get(read.layer)
        if port is None:
            shape = tuple(int(n) for n in self.graph.layers[read.layer].config["shape"])
            bits = max(1, (len(table) - 1).bit_length())
            port = self.ports[read.layer] = self.builder.input(read.layer, shape, FixedPoint(False, bits, 0))
            self.places[port] = read
        self.largest[port] = min(len(table) - 1, self.largest.get(port, len(table)))
        words = np.round(np.ldexp(table, form.fractional_bits)).astype(np.int64)
        return self.builder.embedding(self._name(out), port, words, form, layer.name)


def table_values(form: FixedPoint, steps: tuple[Any, ...], where: str) -> np.ndarray:
    """What Keras layers and a last quantizer make of every word of ``form``, in the order of the words' low bits."""
    words = np.arange(1 << form.width)
    if form.signed:
        words = np.where(words > form.max_word, words - (1 << form.width), words)
    values: Any = form.values_of(words).astype(np.float32)[:, None]
    for step in steps[:-1]:
        values = np.asarray(step(values))
    return quantized_values(values, steps[-1], where)[:, 0]


def _no_quantizer(name: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        "the input has no quantizer", where=f"layer '{name}'",
        allowed="a QActivation(quantized_bits(…)) behind every input: it fixes the port's format",
    )  # fmt: skip
