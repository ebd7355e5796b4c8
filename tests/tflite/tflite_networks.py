"""Small networks for the tests of toolchain.tflite, made node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.builder import NetworkBuilder
from toolchain.network.compositions import function
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.grids import INT8, Widths
from toolchain.tflite.lowering import lower
from toolchain.tflite.operators import IntegerModel
from toolchain.tflite.ports import choose_ports
from toolchain.tflite.stage import corner_inputs

EVEN = (Rounding.RND_CONV, Overflow.SAT)


def random_words(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> Words:
    """Weights of ``bits`` bits, half of them zero, none the lowest word."""
    high = 2 ** (bits - 1) - 1
    return rng.integers(-high, high + 1, shape) * (rng.random(shape) < 0.5)


def convolution_network(
    seed: int = 0, bits: int = 8, rounding: Rounding = Rounding.RND_CONV, padding: tuple[int, int] = (0, 0)
) -> FixedPointNetwork:
    """Conv1D, ReLU, Flatten, Dense, ReLU, Dense: 8-bit input and activations, ``bits``-bit weights."""
    rng = np.random.default_rng(seed)
    modes = (rounding, Overflow.SAT)
    builder = NetworkBuilder("network")
    weights = FixedPoint(True, 0, bits - 1)
    x = builder.input("x", (10, 2), FixedPoint(True, 2, 5, *EVEN))
    x = builder.convolution(
        "conv", x, random_words(rng, (3, 2, 4), bits), weights, random_words(rng, (4,), bits), weights,
        strides=(1,), padding=(padding,),
    )  # fmt: skip
    x = builder.relu("conv_relu", x, FixedPoint(False, 2, 6, *modes))
    x = builder.reshape("flatten", x, (int(np.prod(builder.shape_of(x))),))
    x = builder.dense(
        "hidden", x, random_words(rng, (*builder.shape_of(x), 6), bits), weights, random_words(rng, (6,), bits), weights
    )
    x = builder.relu("hidden_relu", x, FixedPoint(False, 3, 5, *modes))
    x = builder.dense("out", x, random_words(rng, (6, 3), bits), weights, random_words(rng, (3,), bits), weights)
    return builder.build((x,))


def dense_network(
    kernel: Words, bias: Words | None, form: FixedPoint, result: FixedPoint | None = None, relu: bool = False
) -> FixedPointNetwork:
    """One Dense layer of 8-bit weights, with ``form`` at the input and ``result`` after it."""
    builder = NetworkBuilder("network")
    weights = FixedPoint(True, 0, 7)
    x = builder.input("x", (kernel.shape[0],), form)
    x = builder.dense("dense", x, kernel, weights, bias, weights if bias is not None else None)
    if relu:
        x = builder.relu("relu", x, result)
    elif result is not None:
        x = builder.requantize("cut", x, result)
    return builder.build((x,))


WEIGHTS = FixedPoint(True, 0, 5)
ACTIVE = FixedPoint(False, 2, 6, *EVEN)
SIGNED = FixedPoint(True, 2, 5, *EVEN)


def image_network(seed: int = 5) -> FixedPointNetwork:
    """Conv2D with uneven padding, maximum and average pooling, a depthwise and a pointwise layer, a residual, Dense."""
    rng = np.random.default_rng(seed)
    b = NetworkBuilder("image")

    def words(*shape: int) -> Words:
        return random_words(rng, shape, 6)

    x = b.input("x", (8, 7, 2), SIGNED)
    x = b.convolution(
        "conv", x, words(3, 3, 2, 4), WEIGHTS, words(4), WEIGHTS, strides=(1, 1), padding=((1, 1), (1, 1))
    )
    x = b.relu("conv_relu", x, ACTIVE)
    x = b.max_pool("pool", x, (2, 2), (2, 2), ((0, 0), (0, 1)))
    deep = b.convolution(
        "deep", x, words(3, 3, 4), WEIGHTS, words(4), WEIGHTS, strides=(1, 1), padding=((1, 1), (0, 2)), depthwise=True
    )
    deep = b.requantize("deep_cut", deep, SIGNED)
    both = b.add("residual", (x, deep))
    x = b.relu("residual_relu", both, ACTIVE)
    x = b.convolution(
        "mean", x, np.ones((2, 2, 4), dtype=np.int64), FixedPoint(False, -1, 2), strides=(2, 2),
        padding=((0, 0), (0, 0)), depthwise=True, constant=True,
    )  # fmt: skip
    x = b.requantize("mean_cut", x, ACTIVE)
    x = b.reshape("flat", x, (int(np.prod(b.shape_of(x))),))
    return b.build((b.dense("out", x, words(*b.shape_of(x), 3), WEIGHTS),))


def graph_network(seed: int = 6) -> FixedPointNetwork:
    """Two inputs, two outputs: gates, tables, an embedding, subtraction, extremes, moves and concatenations."""
    rng = np.random.default_rng(seed)
    b = NetworkBuilder("graph")
    x, codes = b.input("x", (6, 4), SIGNED), b.input("codes", (6,), FixedPoint(False, 4, 0))
    gate = b.dense("gate", x, random_words(rng, (4, 4), 6), WEIGHTS, random_words(rng, (4,), 6), WEIGHTS, SIGNED)
    gate = function(b, "sigmoid", gate, lambda v: 1 / (1 + np.exp(-v)), FixedPoint(False, 0, 8, *EVEN))
    gated = b.requantize("gated_cut", b.multiply("gated", (x, gate)), SIGNED)
    rows = b.embedding("rows", codes, random_words(rng, (16, 4), 5), FixedPoint(True, 0, 4, *EVEN))
    less = b.requantize("less_cut", b.subtract("less", (gated, rows)), FixedPoint(True, 2, 4, *EVEN))
    turned = b.permute("turned", b.crop("inner", b.zero_padding("padded", less, ((1, 2),)), ((2, 0),)), (1, 0))
    narrow = b.requantize("narrow", b.maximum("larger", (x, gated)), FixedPoint(True, 2, 3, *EVEN))
    steps = b.max_pool("peak", narrow, (3,), (2,), ((1, 1),))
    steps = b.scale("scaled", steps, np.array([3, -5, 7, 11]), WEIGHTS, None, None, FixedPoint(True, 2, 4, *EVEN))
    both = b.concatenate("both", (b.reshape("a", turned, (28,)), b.reshape("b", steps, (12,))), -1)
    both = b.requantize("both_cut", both, FixedPoint(True, 2, 4, *EVEN))
    small = b.minimum("small", (narrow, b.relu("up", narrow)))
    return b.build((b.dense("out", both, random_words(rng, (40, 3), 6), WEIGHTS), small))


def operators_network(seed: int = 6) -> FixedPointNetwork:
    """One input, one output, and the operators that ``image_network`` has not."""
    rng = np.random.default_rng(seed)
    b = NetworkBuilder("operators")
    x = b.input("x", (6, 4), SIGNED)
    gate = b.dense("gate", x, random_words(rng, (4, 4), 6), WEIGHTS, random_words(rng, (4,), 6), WEIGHTS, SIGNED)
    gate = function(b, "sigmoid", gate, lambda v: 1 / (1 + np.exp(-v)), FixedPoint(False, 0, 8, *EVEN))
    gated = b.requantize("gated_cut", b.multiply("gated", (x, gate)), SIGNED)
    less = b.requantize("less_cut", b.subtract("less", (gated, x)), FixedPoint(True, 2, 4, *EVEN))
    turned = b.permute("turned", b.crop("inner", b.zero_padding("padded", less, ((1, 2),)), ((2, 0),)), (1, 0))
    narrow = b.requantize("narrow", b.maximum("larger", (x, gated)), FixedPoint(True, 2, 3, *EVEN))
    narrow = b.minimum("smaller", (narrow, b.relu("up", narrow)))
    steps = b.max_pool("peak", narrow, (3,), (2,), ((1, 1),))
    steps = b.scale("scaled", steps, np.array([3, -5, 7, 11]), WEIGHTS, None, None, FixedPoint(True, 2, 4, *EVEN))
    both = b.concatenate("both", (b.reshape("a", turned, (28,)), b.reshape("b", steps, (12,))), -1)
    both = b.requantize("both_cut", both, FixedPoint(True, 2, 4, *EVEN))
    return b.build((b.dense("out", both, random_words(rng, (40, 3), 6), WEIGHTS),))


def lowered(
    network: FixedPointNetwork, seed: int = 1, samples: int = 200, widths: Widths = INT8
) -> tuple[IntegerModel, dict[str, NDArray[Any]]]:
    """The integer model, and inputs for it by port: random words and the corners."""
    rng = np.random.default_rng(seed)
    forms = {node.name: node.result for node in network.inputs}
    train = {
        node.name: rng.integers(forms[node.name].min_word, forms[node.name].max_word + 1, (samples, *node.shape))
        for node in network.inputs
    }
    model = lower(network, choose_ports(network, train, extrapolates=False, widths=widths))
    inputs = {}
    for port in model.inputs:
        grid, shape = port.tensor.grid, port.tensor.shape
        words = rng.integers(grid.lowest, grid.highest + 1, (samples, *shape)).astype(grid.dtype)
        if widths.activations == 16:  # most words of a port are beyond a narrow format's ends
            words = grid.quantize(train[port.name], forms[port.name].fractional_bits, port.rounding)
        inputs[port.name] = np.concatenate([words, corner_inputs(grid, shape)])
    return model, inputs
