"""The 8-bit grids of the input and output port.

A port whose format has at most 256 levels keeps it, exactly. A wider one is cut to 256 levels:

- classes: of the input grids that cover all or most of the training part's values, the one that disturbs the network's
  results on the training part least (mean square); the output port covers the training part's results with half their
  width more on both sides;
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
from toolchain.tflite.lowering import Ports, port_span

_CALIBRATION_SAMPLES = 4_000
_SWEEP_STEPS = 129
#: Shares of the training part's values that a candidate input grid may leave out on each side.
_LEFT_OUT = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def choose_ports(network: FixedPointNetwork, train_words: Words, extrapolates: bool) -> Ports:
    """The ports of ``network``; ``train_words (samples, *shape)`` are the training part in its input format.

    ``extrapolates``: a regression whose inputs may leave the range of the training part.
    """
    words = train_words[:: max(1, len(train_words) // _CALIBRATION_SAMPLES)]
    limit = format_span(network.inputs[0].result)
    grid = finest_grid(limit, limit) if extrapolates else _least_disturbing(network, words, train_words)
    results = _results(network, words)
    if extrapolates:
        results = results.hull(_results(network, _sweep(network, train_words, grid)))
    else:
        results = results.widened(0.5)
    proven = analyse(network)[network.outputs[0]]
    possible = Span(proven.lowest, proven.highest, proven.fractional_bits)
    return Ports(grid, finest_grid(results.within(possible), possible))


def on_port(network: FixedPointNetwork, grid: Grid, words: Words) -> Words:
    """Input words of ``network`` after they went through the port: rounded, saturated, back in the input format."""
    node = network.inputs[0]
    stored = grid.words_of(grid.quantize(words, node.result.fractional_bits, node.result.rounding))
    span = port_span(node, grid)
    return np.clip(stored, span.low, span.high) << (node.result.fractional_bits - grid.fractional_bits)


def _least_disturbing(network: FixedPointNetwork, words: Words, all_words: Words) -> Grid:
    node, output = network.inputs[0], network.outputs[0]
    limit = format_span(node.result)
    bits = limit.fractional_bits
    candidates = []
    for share in _LEFT_OUT:
        low, high = np.quantile(all_words, [share, 1.0 - share], method="nearest").tolist()
        grid = finest_grid(Span(int(low), int(high), bits), limit)
        if grid not in candidates:
            candidates.append(grid)
    if len(candidates) == 1:
        return candidates[0]
    expected = run(network, {node.name: words})[output].astype(np.float64)
    errors = []
    for grid in candidates:
        found = run(network, {node.name: on_port(network, grid, words)})[output].astype(np.float64)
        errors.append(float(np.square(found - expected).mean()))
    return candidates[int(np.argmin(errors))]


def _results(network: FixedPointNetwork, words: Words) -> Span:
    node = network[network.outputs[0]]
    return span_of(run(network, {network.inputs[0].name: words})[node.name], node.result.fractional_bits)


def _sweep(network: FixedPointNetwork, train_words: Words, grid: Grid) -> Words:
    """Samples of one constant each, from 7/8 of the way to the port's low end to 7/8 of the way to its high end."""
    node = network.inputs[0]
    span = port_span(node, grid)
    finer = node.result.fractional_bits - grid.fractional_bits
    ends = max(span.low, grid.low) << finer, min(span.high, grid.high) << finer
    seen = span_of(train_words, node.result.fractional_bits)
    low = seen.low - (seen.low - ends[0]) * 7 // 8
    high = seen.high + (ends[1] - seen.high) * 7 // 8
    levels = np.clip(np.linspace(low, high, _SWEEP_STEPS).round().astype(np.int64), *ends)
    return np.broadcast_to(levels.reshape(-1, *(1 for _ in node.shape)), (len(levels), *node.shape)).copy()
