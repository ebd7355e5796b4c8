"""The 8-bit grids of the input and output port.

A port whose format has at most 256 levels keeps it, exactly. A wider one is cut to 256 levels:

- classes: the input port covers the training part with its own width more on both sides, the output port the training
  part's results with half their width more on both sides;
- regression: prices leave the range that training saw, so the input port covers the network's whole input format, whose
  headroom was chosen for that, and the output port covers the results as all inputs move together to 7/8 of the way to
  the input port's ends.

Beyond its ends a port saturates.
"""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.interpreter import run
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.ranges import analyse
from toolchain.tflite.grids import Grid, Span, finest_grid, format_span, span_of
from toolchain.tflite.lowering import Ports

_CALIBRATION_SAMPLES = 20_000
_SWEEP_STEPS = 129


def choose_ports(network: FixedPointNetwork, train_words: Words, extrapolates: bool) -> Ports:
    """The ports of ``network``; ``train_words (samples, *shape)`` are the training part in its input format.

    ``extrapolates``: a regression whose inputs may leave the range of the training part.
    """
    node = network.inputs[0]
    bits = node.result.fractional_bits
    limit = format_span(node.result)
    seen = span_of(train_words, bits)
    input_grid = finest_grid(limit if extrapolates else seen.widened(1.0).within(limit), limit)
    output = network.outputs[0]
    step = max(1, len(train_words) // _CALIBRATION_SAMPLES)
    result_bits = network[output].result.fractional_bits
    results = span_of(run(network, {node.name: train_words[::step]})[output], result_bits)
    if extrapolates:
        swept = run(network, {node.name: _sweep(seen, _on_grid(input_grid, bits).within(limit), node.shape)})[output]
        results = results.hull(span_of(swept, result_bits))
    else:
        results = results.widened(0.5)
    proven = analyse(network)[output]
    possible = Span(proven.lowest, proven.highest, proven.fractional_bits)
    return Ports(input_grid, finest_grid(results.within(possible), possible))


def _on_grid(grid: Grid, fractional_bits: int) -> Span:
    finer = fractional_bits - grid.fractional_bits
    return Span(grid.low << finer, grid.high << finer, fractional_bits)


def _sweep(seen: Span, port: Span, shape: tuple[int, ...]) -> Words:
    """Samples of one constant each, from 7/8 of the way to the port's low end to 7/8 of the way to its high end."""
    low = seen.low - (seen.low - port.low) * 7 // 8
    high = seen.high + (port.high - seen.high) * 7 // 8
    levels = np.linspace(low, high, _SWEEP_STEPS).round().astype(np.int64)
    return np.broadcast_to(levels.reshape(-1, *(1 for _ in shape)), (len(levels), *shape)).copy()
