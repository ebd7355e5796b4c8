"""The output port is no finer than what kernels leave of it that round ties their own way."""

from __future__ import annotations

import numpy as np
from tflite_networks import EVEN, random_words

from toolchain.fixed_point import FixedPoint
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.check import network_words
from toolchain.tflite.emulation import emulate
from toolchain.tflite.lowering import lower
from toolchain.tflite.operators import IntegerModel
from toolchain.tflite.ports import choose_ports
from toolchain.tflite.settling import LARGEST_DIFFERENCE, settle


def deep_network() -> FixedPointNetwork:
    """Four layers of coarse activations, so that ties are many, and a result of small values."""
    rng = np.random.default_rng(3)
    builder = NetworkBuilder("deep")
    x, weights = builder.input("x", (16,), FixedPoint(True, 0, 4, *EVEN)), FixedPoint(True, 0, 3)
    for layer in range(4):
        x = builder.dense(f"d{layer}", x, random_words(rng, (16, 16), 4), weights)
        x = builder.relu(f"r{layer}", x, FixedPoint(False, 2, 3, *EVEN))
    return builder.build((builder.dense("out", x, random_words(rng, (16, 1), 4), weights),))


def largest(network: FixedPointNetwork, model: IntegerModel, words: np.ndarray) -> int:
    inputs = {"x": model.input.grid.quantize(words, 4, model.inputs[0].rounding)}
    expected = network_words(network, model, inputs)["out"]
    wanted = model.output.grid.quantize(expected, network["out"].result.fractional_bits, model.output_rounding)
    found = (emulate(model, inputs, kernels)[model.output.name] for kernels in ("once", "twice"))
    return max(int(np.abs(words.astype(int) - wanted).max()) for words in found)


def test_ties_move_no_result_by_more_than_a_step_of_the_port_that_is_chosen() -> None:
    network, rng = deep_network(), np.random.default_rng(0)
    train = rng.integers(-16, 16, (3000, 16))
    finest = lower(network, choose_ports(network, train, extrapolates=False))
    settled = settle(network, {"x": train}, extrapolates=False)
    assert largest(network, finest, train) > LARGEST_DIFFERENCE
    assert largest(network, settled, train) <= LARGEST_DIFFERENCE
    assert settled.output.grid.fractional_bits < finest.output.grid.fractional_bits
    assert settled.output.grid.low * settled.output.grid.scale <= finest.output.grid.low * finest.output.grid.scale
    assert settled.output.grid.high * settled.output.grid.scale >= finest.output.grid.high * finest.output.grid.scale
