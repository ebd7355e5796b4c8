"""Ports and model together: an output port no finer than what kernels that round ties their own way leave of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.check import network_words
from toolchain.tflite.emulation import emulate
from toolchain.tflite.grids import INT8, Grid, Widths
from toolchain.tflite.lowering import lower
from toolchain.tflite.operators import IntegerModel
from toolchain.tflite.ports import choose_ports

#: Output words that any kernel's result may be from the network's, rounded to the same port.
LARGEST_DIFFERENCE = 1
_SAMPLES = 20_000
_KERNELS: tuple[Literal["once", "twice"], ...] = ("once", "twice")


def settle(
    network: FixedPointNetwork, train_words: Mapping[str, Words], extrapolates: bool, widths: Widths = INT8
) -> IntegerModel:
    """The model whose output ports are the finest on which no known kernel is more than one word from the network on
    the training part ``train_words (samples, *shape)`` by input name, in the network's input formats.

    Only int8 ports are made coarser: an int16 port has a finer step than any tie inside the network moves it by.
    Raises NotExpressibleError.
    """
    ports = choose_ports(network, train_words, extrapolates, widths)
    model = lower(network, ports)
    if widths.results == 16:
        return model
    step = max(1, len(next(iter(train_words.values()))) // _SAMPLES)
    inputs = {
        port.name: port.tensor.grid.quantize(
            train_words[port.name][::step], network[port.name].result.fractional_bits, port.rounding
        )
        for port in model.inputs
    }
    expected = network_words(network, model, inputs)
    for _ in range(widths.results):
        apart = [
            name for name, found in _differences(network, model, inputs, expected).items() if found > LARGEST_DIFFERENCE
        ]
        if not apart:
            break
        finer = {port.name: port.tensor.grid for port in model.outputs}
        exact = {name for name in apart if finer[name] != ports.outputs[name]}
        if exact:  # an exact port is the network's own format: nothing to choose
            break
        ports = replace(ports, outputs={**ports.outputs, **{name: _coarser(finer[name]) for name in apart}})
        model = lower(network, ports)
    return model


def _differences(
    network: FixedPointNetwork, model: IntegerModel, inputs: Mapping[str, Words], expected: Mapping[str, Words]
) -> dict[str, int]:
    """The largest difference of any kernel from the network, in words, by output port."""
    found = dict.fromkeys(network.outputs, 0)
    for kernels in _KERNELS:
        words = emulate(model, inputs, kernels)
        for port in model.outputs:
            bits = network[port.name].result.fractional_bits
            wanted = port.tensor.grid.quantize(expected[port.name], bits, port.rounding)
            apart = np.abs(words[port.tensor.name].astype(np.int64) - wanted)
            found[port.name] = max(found[port.name], int(apart.max(initial=0)))
    return found


def _coarser(grid: Grid) -> Grid:
    """Twice the step, about the same middle."""
    middle = (grid.low + grid.high) // 4
    zero_point = min(max(-middle, grid.lowest), grid.highest)
    return Grid(grid.fractional_bits - 1, zero_point, grid.bits)
