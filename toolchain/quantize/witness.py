"""What QKeras computes, layer by layer, for the verification inputs: the witness on the other side of the network.

QKeras computes in float32. Where every partial sum of a layer is provably an integer below 2**24 on its grid, float32
is exact in any order and QKeras' own outputs are taken. Elsewhere the same quantized weights and the quantizers' own
formula are evaluated in float64 (exact below 2**53, else refused), and the layer is named in
``QuantizeResult.float64_layers``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Words
from toolchain.model.chain import Link, apply_link, padding_of
from toolchain.network.nodes import Convolution, FixedPointNetwork, Linear, Node
from toolchain.network.ranges import Range, analyse


def corner_words(form: FixedPoint, shape: tuple[int, ...]) -> Words:
    """Vectors at the edges of the input format: ``(vectors, *shape)`` int64."""
    low, high = form.min_word, form.max_word
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


def _refuse_beyond_float64(network: FixedPointNetwork) -> None:
    """Raises UnsupportedModelError naming the first layer whose sums no double is proven to hold."""
    ranges = analyse(network)
    for node in network.nodes:
        if isinstance(node, Linear):
            largest = _largest_partial_sum(node, ranges[node.inputs[0]])
            if largest >= 2**53:
                raise UnsupportedModelError(
                    f"its sums may need {largest.bit_length()} bits and a sign: nothing to compare them with is exact",
                    where=f"layer '{node.name}'", allowed="sums below 2**53 words of their grid",
                    hint="put a quantized activation between this layer and the one before it, or use fewer bits",
                )  # fmt: skip


def layer_outputs(
    model: Any, network: FixedPointNetwork, words: Words
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The QKeras model's output of every node (real values), and the layers that were evaluated in float64.

    Raises UnsupportedModelError for a layer whose sums float64 is not proven to hold.
    """
    from toolchain.model.tensorflow import load_tensorflow

    _refuse_beyond_float64(network)
    tf = load_tensorflow()
    port = network.inputs[0]
    values = port.result.values_of(words)
    names = [node.name for node in network.nodes[1:]]
    probe = tf.keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    found = probe.predict(values.astype(np.float32), verbose=0, batch_size=4096)
    found = [found] if len(names) == 1 else found
    outputs = {port.name: values, **{name: np.asarray(f, np.float64) for name, f in zip(names, found, strict=True)}}
    exact = float32_is_exact(network)
    doubled = []
    for node in network.nodes[1:]:
        stale = any(name in doubled for name in node.inputs)
        if not exact[node.name] or stale:
            outputs[node.name] = _in_float64(model.get_layer(node.name), node, outputs[node.inputs[0]])
            doubled.append(node.name)
    return outputs, tuple(name for name in doubled if not exact[name])


def _in_float64(layer: Any, node: Node, x: np.ndarray) -> np.ndarray:
    kind = type(layer).__name__
    if kind == "Flatten":
        return x.reshape(len(x), -1)
    if kind == "QActivation":
        return _quantizer_in_float64(layer.quantizer, x)
    kernel = np.asarray(layer.kernel_quantizer_internal(layer.kernel), dtype=np.float64)
    bias = np.asarray(layer.bias_quantizer_internal(layer.bias), dtype=np.float64) if layer.use_bias else None
    if not isinstance(node, Convolution):
        return np.asarray(apply_link(Link("dense", node.name, kernel, bias), x))
    link = Link("conv1d", node.name, kernel, bias, int(layer.strides[0]), int(layer.dilation_rate[0]), layer.padding)
    assert padding_of(link, x.shape[1]) == node.padding[0]
    return np.asarray(apply_link(link, x))


def _quantizer_in_float64(quantizer: Any, x: np.ndarray) -> np.ndarray:
    """The formula of QKeras' quantized_bits and quantized_relu: round half to even, clip."""
    relu = type(quantizer).__name__ == "quantized_relu"
    signed = not relu and bool(quantizer.keep_negative)
    steps = 2.0 ** (quantizer.bits - int(signed))
    scale = 2.0**quantizer.integer
    low = 0.0 if not signed else -steps + float(bool(quantizer.symmetric))
    return np.asarray(scale * np.clip(np.round(x * steps / scale), low, steps - 1) / steps)
