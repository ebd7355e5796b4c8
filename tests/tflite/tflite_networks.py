"""Small networks for the tests of toolchain.tflite, made node by node."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.grids import Int8Array
from toolchain.tflite.lowering import lower
from toolchain.tflite.operators import Int8Model
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


def lowered(network: FixedPointNetwork, seed: int = 1, samples: int = 200) -> tuple[Int8Model, Int8Array]:
    """The int8 model, and inputs for it: random words and the corners."""
    rng = np.random.default_rng(seed)
    node = network.inputs[0]
    train = rng.integers(node.result.min_word, node.result.max_word + 1, (samples, *node.shape))
    model = lower(network, choose_ports(network, train, extrapolates=False))
    inputs = rng.integers(-128, 128, (samples, *node.shape)).astype(np.int8)
    return model, np.concatenate([inputs, corner_inputs(model.input.grid, node.shape)])
