"""What QKeras computes, layer by layer, for the verification inputs: the witness on the other side of the network.

QKeras computes in float32. Where every partial sum of a layer is provably an integer below 2**24 on its grid, float32
is exact in any order and QKeras' own outputs are taken. Elsewhere the same quantized weights and the quantizers' own
formula are evaluated in float64 (exact below 2**53, else refused), and the layer is named in
``QuantizeResult.float64_layers``.

Softmax and LayerNormalization are not equal to the network's compositions, only near: their formula is evaluated in
float64 on the network's own values, and the layers behind them read the network's values, so that each is compared by
itself. How far the whole model's outputs then lie from the network's is what ``whole_outputs`` is for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Words
from toolchain.model.graph import Layer, Tensor
from toolchain.model.keras_graph import call_model
from toolchain.network import interpreter
from toolchain.network.nodes import (
    Concatenate,
    Embedding,
    FixedPointNetwork,
    Linear,
    MaxPool,
    Merge,
    Multiply,
    Node,
    Relu,
    Reshape,
    Scale,
    Table,
)
from toolchain.network.ranges import Range, analyse
from toolchain.quantize.approximate import real_values
from toolchain.quantize.from_qkeras import Reading
from toolchain.quantize.hard_functions import hard_in_float64, is_hard
from toolchain.quantize.qkeras_graph import PLAIN
from toolchain.quantize.to_qkeras import kernel_quantizer, kernel_variable
from toolchain.results import ApproximateLayer

#: Samples that the model computes at once.
_BATCH = 4096


def corner_words(form: FixedPoint, shape: tuple[int, ...], largest: int | None = None) -> Words:
    """Vectors at the edges of the input format (up to word ``largest`` where less is used): ``(vectors, *shape)``."""
    low, high = form.min_word, form.max_word if largest is None else largest
    size = int(np.prod(shape))
    levels = [low, low + 1, high, high - 1, 0, 1, -1 if form.signed else 1, high // 2]
    rows = [np.full(size, level) for level in levels]
    alternating = np.where(np.arange(size) % 2, low, high)
    rows += [alternating, alternating[::-1]]
    for place in range(min(size, 16)):
        for level in (low, high):
            row = np.zeros(size, dtype=np.int64)
            row[place] = level
            rows.append(row)
    generator = np.random.default_rng(0)
    rows += list(generator.integers(low, high + 1, size=(32, size)))
    return np.stack(rows).astype(np.int64).reshape(-1, *shape)


def float32_is_exact(network: FixedPointNetwork) -> dict[str, bool]:
    """For every node, whether float32 arithmetic in any order gives its exact result."""
    ranges = analyse(network)
    return {node.name: _exact(node, network, ranges) for node in network.nodes}


def _exact(node: Node, network: FixedPointNetwork, ranges: dict[str, Range]) -> bool:
    if isinstance(node, Linear):
        return _largest_partial_sum(node, ranges[node.inputs[0]]) < 2**24
    if isinstance(node, Table | Embedding | Concatenate):
        return True
    if isinstance(node, Merge):
        return _largest_merged(node, ranges) < 2**24
    found = ranges[node.inputs[0]] if node.inputs else ranges[node.name]
    # QKeras puts out x + (q(x) - x): the difference lies on the finer of both grids.
    finer = max(0, node.result.fractional_bits - found.fractional_bits)
    return max(abs(found.lowest), abs(found.highest)) << finer < 2**24


def _largest_partial_sum(node: Linear, x: Range) -> int:
    """A bound on every partial sum in any order, in words of the sum's grid; Python integers, which never wrap."""
    largest = max(abs(x.lowest), abs(x.highest))
    axes = tuple(range(node.kernel.ndim - 1)) if node.kernel.ndim > 1 else ()
    total = np.abs(node.kernel.astype(object)).sum(axis=axes) * largest
    grid = x.fractional_bits + node.kernel_format.fractional_bits
    if node.bias is not None and node.bias_format is not None:
        common = max(grid, node.bias_format.fractional_bits)
        bias = np.abs(node.bias.astype(object)) << (common - node.bias_format.fractional_bits)
        total = (total << (common - grid)) + bias
    return int(max(np.asarray(total).flat))


def _largest_merged(node: Merge, ranges: dict[str, Range]) -> int:
    """A bound on every intermediate value of a merge, in words of the finest grid that takes part."""
    inputs = [ranges[name] for name in node.inputs]
    magnitudes = [max(abs(x.lowest), abs(x.highest)) for x in inputs]
    if isinstance(node, Multiply):
        return int(np.prod(np.array([max(1, magnitude) for magnitude in magnitudes], dtype=object)))
    grid = max(x.fractional_bits for x in inputs)
    return sum(one << (grid - x.fractional_bits) for one, x in zip(magnitudes, inputs, strict=True))


def _refuse_beyond_float64(network: FixedPointNetwork) -> None:
    """Raises UnsupportedModelError naming the first layer whose sums no double is proven to hold."""
    ranges = analyse(network)
    for node in network.nodes:
        if isinstance(node, Linear | Merge):
            if isinstance(node, Linear):
                largest = _largest_partial_sum(node, ranges[node.inputs[0]])
            else:
                largest = _largest_merged(node, ranges)
            if largest >= 2**53:
                raise UnsupportedModelError(
                    f"its sums may need {largest.bit_length()} bits and a sign: nothing to compare them with is exact",
                    where=f"layer '{node.name}'", allowed="sums below 2**53 words of their grid",
                    hint="put a quantized activation between this layer and the one before it, or use fewer bits",
                )  # fmt: skip


def layer_outputs(reading: Reading, words: dict[str, Words]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The QKeras model's output of every node (real values), and the nodes that were evaluated in float64.

    ``words`` are those of each port. Raises UnsupportedModelError for a layer whose sums float64 is not proven to hold.
    """
    network = reading.network
    _refuse_beyond_float64(network)
    outputs = {name: network[name].result.values_of(found) for name, found in words.items()}
    outputs |= _in_float32(reading, words, [name for name in reading.places if name not in outputs])
    exact = float32_is_exact(network)
    twin = Float64Twin(reading)
    doubled: list[str] = []
    near = {layer.node: layer for layer in reading.approximate}
    inner = {name for layer in reading.approximate for name in layer.inner}
    own = interpreter.run(network, words) if near else {}
    compared: dict[str, np.ndarray] = {}
    for node in network.nodes:
        if node.name in words or node.name in inner:
            continue
        if node.name in near:
            compared[node.name] = twin.near(node, near[node.name], outputs)
            outputs[node.name] = node.result.values_of(own[node.name])
            doubled.append(node.name)
            continue
        stale = any(name in doubled for name in node.inputs)
        if node.name not in reading.places:  # one layer of the model that is two operators
            outputs[node.name] = _between(node, outputs)
        elif not exact[node.name] or stale:
            outputs[node.name] = twin.output(node, outputs)
        else:
            continue
        if stale or not exact[node.name]:
            doubled.append(node.name)
    return outputs | compared, tuple(name for name in doubled if not exact[name] and name not in near)


def whole_outputs(reading: Reading, words: dict[str, Words]) -> dict[str, np.ndarray]:
    """The model's outputs, run as a whole in float32, by the network's output nodes."""
    return _in_float32(reading, words, list(dict.fromkeys(reading.network.outputs)))


def _in_float32(reading: Reading, words: dict[str, Words], names: list[str]) -> dict[str, np.ndarray]:
    """The QKeras model's own values of some nodes."""
    from toolchain.model.tensorflow import load_tensorflow

    places = [reading.places[name] for name in names]
    tensors = [reading.model.get_layer(place.layer).get_output_at(place.call) for place in places]
    probe = load_tensorflow().keras.Model(reading.model.inputs, tensors)
    ports = [reading.ports[name] for name in reading.graph.inputs]
    values = [reading.network[port].result.values_of(words[port]).astype(np.float32) for port in ports]
    # Called as it is: to trace it for ``predict`` would take longer than all its batches.
    starts = range(0, max(len(values[0]), 1), _BATCH)
    batches = [call_model(probe, [x[at : at + _BATCH] for x in values]) for at in starts]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*batches, strict=True), strict=True)}


def _between(node: Node, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """The values of an operator that no layer of the model stands for: a global pooling's window, repeated places."""
    x = outputs[node.inputs[0]]
    if isinstance(node, Reshape):
        return x.reshape(len(x), *node.shape)
    if isinstance(node, Concatenate):
        return np.concatenate([outputs[name] for name in node.inputs], axis=node.axis + 1)
    if isinstance(node, Scale):  # of a hard sigmoid, as the next two
        bias = 0.0 if node.bias is None or node.bias_format is None else node.bias_format.values_of(node.bias)
        return np.asarray(x * node.kernel_format.values_of(node.kernel) + bias)
    if isinstance(node, Relu):
        return np.asarray(np.maximum(x, 0.0))
    axes = tuple(range(1, x.ndim - 1))
    if isinstance(node, MaxPool):
        return np.asarray(x.max(axis=axes, keepdims=True))
    return np.asarray(x.sum(axis=axes, keepdims=True) / np.prod(x.shape[1:-1]))


class Float64Twin:
    """The model's layers with the same quantized weights and the quantizers' own formula, in float64."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._made: dict[str, Any] = {}
        self._reads = {out: call.inputs for call, _, out in reading.graph.walk()}
        self._nodes = {place: name for name, place in reading.places.items()}

    def output(self, node: Node, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """What the layer of ``node`` makes of the values that ``outputs`` holds of what it reads."""
        place = self.reading.places[node.name]
        steps = [place]
        while self._reads[steps[-1]][0] not in self._nodes:  # functions of one value that wait for their quantizer
            steps.append(self._reads[steps[-1]][0])
        if len(steps) > 1 or isinstance(node, Table):
            return self._table(steps, outputs[node.inputs[0]])
        inputs = [outputs[self._nodes[read]] for read in self._reads[place]]
        layer = self.reading.graph.layers[place.layer]
        if layer.kind == "QActivation":
            return _quantizer_in_float64(self.reading.model.get_layer(layer.name).quantizer, inputs[0])
        made = self._layer(layer)
        found = [np.asarray(made(_batch(inputs, at)), np.float64) for at in range(0, len(inputs[0]), _BATCH)]
        return np.concatenate(found)

    def near(self, node: Node, layer: ApproximateLayer, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """What an approximate layer and the quantizer behind it make of the values that it reads."""
        graph, place = self.reading.graph, self.reading.places[node.name]
        values = real_values(graph.layers[layer.layer], outputs[layer.reads])
        if graph.layers[place.layer].kind != "QActivation":
            return values
        return _quantizer_in_float64(self.reading.model.get_layer(place.layer).quantizer, values)

    def _table(self, steps: list[Tensor], x: np.ndarray) -> np.ndarray:
        """float32 is what defines a table: its input words are exact in it."""
        model = self.reading.model
        for place in reversed(steps[1:]):
            x = np.asarray(model.get_layer(place.layer)(x.astype(np.float32)))
        return np.asarray(model.get_layer(steps[0].layer).quantizer(x.astype(np.float32)), np.float64)

    def _layer(self, layer: Layer) -> Any:
        if layer.name not in self._made:
            self._made[layer.name] = self._make(layer)
        return self._made[layer.name]

    def _make(self, layer: Layer) -> Any:
        from toolchain.model.tensorflow import load_tensorflow

        layers = load_tensorflow().keras.layers
        config = {**layer.config, "dtype": "float64", "name": layer.name}
        if layer.kind not in PLAIN:
            return getattr(layers, layer.kind).from_config(config)
        plain = getattr(layers, PLAIN[layer.kind])
        keys = set(_ARGUMENTS) & set(config)
        made = plain(**{key: config[key] for key in keys}, dtype="float64", activation=None)
        quantized = self.reading.model.get_layer(layer.name)
        weights = [kernel_quantizer(quantized)(kernel_variable(quantized))]
        if quantized.use_bias:
            weights.append(quantized.bias_quantizer_internal(quantized.bias))
        made.build(quantized.get_input_shape_at(0))
        made.set_weights([np.asarray(weight, np.float64) for weight in weights])
        return made


_ARGUMENTS = (
    "units", "filters", "kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "use_bias",
)  # fmt: skip


def _batch(inputs: list[np.ndarray], start: int) -> Any:
    rows = [x[start : start + _BATCH] for x in inputs]
    return rows[0] if len(rows) == 1 else rows


def _quantizer_in_float64(quantizer: Any, x: np.ndarray) -> np.ndarray:
    """The formula of QKeras' quantized_bits and quantized_relu: round half to even, clip."""
    if is_hard(quantizer):
        return hard_in_float64(quantizer, x)
    relu = type(quantizer).__name__ == "quantized_relu"
    signed = not relu and bool(quantizer.keep_negative)
    steps = 2.0 ** (quantizer.bits - int(signed))
    scale = 2.0**quantizer.integer
    low = 0.0 if not signed else -steps + float(bool(quantizer.symmetric))
    return np.asarray(scale * np.clip(np.round(x * steps / scale), low, steps - 1) / steps)
