"""A QKeras model read as a ``FixedPointNetwork``: nothing is assumed, every quantizer is asked for its format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint
from toolchain.model.graph import Call, Graph, Layer, Tensor
from toolchain.model.keras_graph import build_keras, call_model, graph_of, random_inputs
from toolchain.model.names import check_name
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork, IntArray
from toolchain.quantize.formats import is_function
from toolchain.quantize.geometry import Window, pair, window_of
from toolchain.quantize.qkeras_formats import (
    exact_format,
    format_of,
    quantized_values,
    words_of_weights,
)
from toolchain.quantize.qkeras_graph import readable_graph
from toolchain.quantize.to_qkeras import kernel_quantizer, kernel_variable

#: A table has a word for each input word: more bits than this are more than a table should have.
LARGEST_TABLE_BITS = 12
SUPPORTED = (
    "QActivation, QDense, QConv1D, QConv2D, QDepthwiseConv2D, ReLU, functions of one value between quantizers, maximum "
    "pooling, Flatten, Reshape, Permute, padding, cropping, Add, Subtract, Multiply, Average, Maximum, Minimum, "
    "Concatenate, Embedding"
)


@dataclass(frozen=True, eq=False)
class Reading:
    """A network, and where in the QKeras model (``model``, of ``graph``) the values of its nodes stand."""

    network: FixedPointNetwork
    graph: Graph
    model: Any
    places: dict[str, Tensor] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)  # input layer -> node
    largest: dict[str, int] = field(default_factory=dict)  # port -> the largest word that names a row of an Embedding


def network_from_qkeras(model: Any, name: str) -> FixedPointNetwork:
    """The integers of a QKeras model whose inputs each pass a QActivation(quantized_bits): the format of the port.

    Raises UnsupportedModelError naming the layer that has no exact meaning.
    """
    return read_qkeras(model, name).network


def read_qkeras(model: Any, name: str) -> Reading:
    """The same, and where the network's nodes stand in the model. Raises UnsupportedModelError."""
    graph = graph_of(model)
    readable = readable_graph(graph)
    rebuilt = build_keras(readable)
    inputs = random_inputs(graph, 16)
    for one, other in zip(call_model(model, inputs), call_model(rebuilt, inputs), strict=True):
        assert np.array_equal(one, other), "taking activations out of their layers changed the model"
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
        return Reading(network, self.graph, self.model, self.places, self.ports, self.largest)

    def _read(self, call: Call, layer: Layer, out: Tensor) -> None:
        where = f"layer '{layer.name}'"
        if layer.kind == "InputLayer":
            return
        rule = _RULES.get(layer.kind)
        if layer.kind == "QActivation":
            node = self._quantizer(call, layer, out)
        elif is_function(layer):
            self._function(call, layer, out)
            return
        elif layer.kind == "Embedding":
            node = self._embedding(call, layer, out)
        elif rule is None:
            raise UnsupportedModelError(
                f"{layer.kind} is not supported in a quantized model", where=where, allowed=SUPPORTED,
                hint="QKeras' layer of the same kind, with quantizers" if f"Q{layer.kind}" in _RULES else "",
            )  # fmt: skip
        else:
            inputs = tuple(self._node(read, where) for read in call.inputs)
            node = rule(self, _Place(self._name(out), inputs, layer, self.model.get_layer(layer.name)))
        self.nodes[out], self.places[node] = node, out

    def _name(self, out: Tensor) -> str:
        name = out.layer if not out.call else f"{out.layer}_{out.call + 1}"
        return name if name not in self.places else f"{name}_again"

    def _node(self, tensor: Tensor, where: str) -> str:
        if tensor in self.functions:
            raise UnsupportedModelError(
                "a function of one value has no quantizer behind it", where=f"layer '{tensor.layer}'",
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
        node = self._node(read, where)
        try:
            form = format_of(quantizer, where)
        except UnsupportedModelError:
            return self._table(name, node, (quantizer,), where)
        add = self.builder.relu if type(quantizer).__name__ == "quantized_relu" else self.builder.requantize
        return add(name, node, form, layer.name)

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


@dataclass(frozen=True, eq=False)
class _Place:
    """What a rule needs of one call."""

    name: str
    inputs: tuple[str, ...]
    layer: Layer
    made: Any  # the layer in the model

    @property
    def where(self) -> str:
        return f"layer '{self.layer.name}'"


def _no_quantizer(name: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        "the input has no quantizer", where=f"layer '{name}'",
        allowed="a QActivation(quantized_bits(…)) behind every input: it fixes the port's format",
    )  # fmt: skip


Rule = Callable[[_Reader, _Place], str]


def _weights(place: _Place) -> tuple[IntArray, FixedPoint, IntArray | None, FixedPoint | None]:
    made, quantizer = place.made, kernel_quantizer(place.made)
    if quantizer is None:
        raise UnsupportedModelError("its kernel has no quantizer", where=place.where)
    kernel, form = words_of_weights(kernel_variable(made), quantizer, f"{place.where}: kernel")
    if not made.use_bias:
        return kernel, form, None, None
    if made.bias_quantizer_internal is None:
        raise UnsupportedModelError("its bias has no quantizer", where=place.where)
    bias, bias_form = words_of_weights(made.bias, made.bias_quantizer_internal, f"{place.where}: bias")
    return kernel, form, bias, bias_form


def _dense(reader: _Reader, place: _Place) -> str:
    return reader.builder.dense(place.name, place.inputs[0], *_weights(place), layer=place.layer.name)


def _convolution(reader: _Reader, place: _Place) -> str:
    config = place.layer.config
    if int(config.get("groups", 1)) != 1:
        raise UnsupportedModelError(f"groups = {config['groups']}", where=place.where, allowed="groups = 1")
    kernel, form, bias, bias_form = _weights(place)
    depthwise = place.layer.kind == "QDepthwiseConv2D"
    if depthwise and kernel.shape[-1] > 1:  # several filters a channel: a convolution whose other weights are zero
        *axes, channels, filters = kernel.shape
        whole = np.zeros((*axes, channels, channels, filters), dtype=np.int64)
        for channel in range(channels):
            whole[..., channel, channel, :] = kernel[..., channel, :]
        kernel, depthwise = whole.reshape(*axes, channels, channels * filters), False
    elif depthwise:
        kernel = kernel[..., 0]
    rank = 1 if place.layer.kind == "QConv1D" else 2
    window = window_of(place.layer, reader.builder.shape_of(place.inputs[0]), kernel.shape[:rank], place.where)
    return reader.builder.convolution(
        place.name, place.inputs[0], kernel, form, bias, bias_form, strides=window.strides, padding=window.padding,
        dilation=window.dilation, depthwise=depthwise, layer=place.layer.name,
    )  # fmt: skip


def _relu(reader: _Reader, place: _Place) -> str:
    return reader.builder.relu(place.name, place.inputs[0], None, place.layer.name)


def _reshape(reader: _Reader, place: _Place) -> str:
    size = int(np.prod(reader.builder.shape_of(place.inputs[0])))
    shape = [int(n) for n in place.layer.config.get("target_shape", (-1,))]
    if -1 in shape:
        shape[shape.index(-1)] = size // -int(np.prod(shape))
    return reader.builder.reshape(place.name, place.inputs[0], tuple(shape), place.layer.name)


def _max_pool(reader: _Reader, place: _Place) -> str:
    shape, config = reader.builder.shape_of(place.inputs[0]), place.layer.config
    if not place.layer.kind.startswith("Global"):
        size = pair(config["pool_size"], len(shape) - 1)
        window = window_of(place.layer, shape, size, place.where)
        return reader.builder.max_pool(
            place.name, place.inputs[0], size, window.strides, window.padding, place.layer.name
        )
    axes = shape[:-1]
    window = Window(axes, (1,) * len(axes), ((0, 0),) * len(axes))
    if config.get("keepdims"):
        return reader.builder.max_pool(place.name, place.inputs[0], axes, axes, window.padding, place.layer.name)
    whole = reader.builder.max_pool(
        f"{place.name}_whole", place.inputs[0], axes, axes, window.padding, place.layer.name
    )
    return reader.builder.reshape(place.name, whole, (shape[-1],), place.layer.name)


def _permute(reader: _Reader, place: _Place) -> str:
    axes = tuple(int(axis) - 1 for axis in place.layer.config["dims"])
    return reader.builder.permute(place.name, place.inputs[0], axes, place.layer.name)


def _padding(reader: _Reader, place: _Place) -> str:
    ends = _ends(place, "padding")
    return reader.builder.zero_padding(place.name, place.inputs[0], ends, place.layer.name)


def _cropping(reader: _Reader, place: _Place) -> str:
    return reader.builder.crop(place.name, place.inputs[0], _ends(place, "cropping"), place.layer.name)


def _ends(place: _Place, key: str) -> tuple[tuple[int, int], ...]:
    found = place.layer.config[key]
    if place.layer.kind.endswith("1D"):
        return (pair(found, 2),)  # type: ignore[return-value]
    return tuple(pair(axis, 2) for axis in pair_of(found))  # type: ignore[misc]


def pair_of(value: Any) -> tuple[Any, ...]:
    """Keras' argument for two axes: one number for both, or one entry for each."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def _merge(kind: str) -> Rule:
    def add(reader: _Reader, place: _Place) -> str:
        shapes = {reader.builder.shape_of(name) for name in place.inputs}
        count = len(place.inputs)
        if len(shapes) > 1 or count < 2:
            raise UnsupportedModelError(
                f"joins shapes {sorted(shapes)}", where=place.where, allowed="two or more tensors of one shape"
            )
        if kind == "average" and count & (count - 1):
            raise UnsupportedModelError(
                f"the average of {count} tensors has no exact word", where=place.where, allowed="2, 4, 8 … tensors"
            )
        made: str = getattr(reader.builder, kind)(place.name, place.inputs, None, place.layer.name)
        return made

    return add


def _concatenate(reader: _Reader, place: _Place) -> str:
    axis = int(place.layer.config.get("axis", -1))
    axis = axis if axis < 0 else axis - 1  # Keras counts the samples' axis
    return reader.builder.concatenate(place.name, place.inputs, axis, None, place.layer.name)


def _average_pool(reader: _Reader, place: _Place) -> str:
    """An average over a power of two places is a depthwise convolution with one power of two."""
    shape = reader.builder.shape_of(place.inputs[0])
    whole = place.layer.kind.startswith("Global")
    size = shape[:-1] if whole else pair(place.layer.config["pool_size"], len(shape) - 1)
    count = int(np.prod(size))
    window = Window(size, (1,) * len(size), ((0, 0),) * len(size))
    if not whole:
        window = window_of(place.layer, shape, size, place.where)
    if count & (count - 1) or any(sum(ends) for ends in window.padding):
        raise UnsupportedModelError(
            f"the average of {count} values, or one at a padded edge, has no exact word", where=place.where,
            allowed="windows of 2, 4, 8 … values without padding",
            hint="QDepthwiseConv2D with a constant quantized kernel",
        )  # fmt: skip
    kernel = np.ones((*size, shape[-1]), dtype=np.int64)
    form = FixedPoint(False, 1 - (count.bit_length() - 1), count.bit_length() - 1)
    name = f"{place.name}_mean" if whole else place.name
    node = reader.builder.convolution(
        name, place.inputs[0], kernel, form, strides=window.strides, padding=window.padding, depthwise=True,
        layer=place.layer.name,
    )  # fmt: skip
    return reader.builder.reshape(place.name, node, (shape[-1],), place.layer.name) if whole else node


_RULES: dict[str, Rule] = {
    "QDense": _dense,
    "QConv1D": _convolution,
    "QConv2D": _convolution,
    "QDepthwiseConv2D": _convolution,
    "ReLU": _relu,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Permute": _permute,
    "ZeroPadding1D": _padding,
    "ZeroPadding2D": _padding,
    "Cropping1D": _cropping,
    "Cropping2D": _cropping,
    "Concatenate": _concatenate,
    **{kind: _merge(kind.lower()) for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
    **{f"{whole}MaxPooling{axes}D": _max_pool for whole in ("", "Global") for axes in (1, 2)},
    **{f"{whole}AveragePooling{axes}D": _average_pool for whole in ("", "Global") for axes in (1, 2)},
}
