"""The grids of the input and output ports.

A port whose format has at most 256 levels keeps it, exactly. A wider one is cut to 256 levels:

- classes: of the input grids that cover all or most of the training part's values, the one that disturbs the network's
  results on the training part least (mean square); the output port covers the training part's results with half their
  width more on both sides;
- regression: prices leave the range that training saw, so the input port covers the network's whole input format, whose
  headroom was chosen for that, and the output port covers the results as all inputs move together to 7/8 of the way to
  the input port's ends.

With int16 activations a port of up to 16 bits is exact, and a wider result keeps 16 bits.

Beyond its ends a port saturates.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.interpreter import run
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.ranges import analyse
from toolchain.tflite.grids import INT8, Grid, Span, Widths, finest_grid, finest_grid_16, format_span, span_of
from toolchain.tflite.lowering import Ports, port_span

_CALIBRATION_SAMPLES = 4_000
_SWEEP_STEPS = 129
_ROOM = 0.5  # of the results' width, on each side
#: Shares of the training part's values that a candidate input grid may leave out on each side.
_LEFT_OUT = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def choose_ports(
    network: FixedPointNetwork, train_words: Mapping[str, Words] | Words, extrapolates: bool, widths: Widths = INT8
) -> Ports:
    """The ports of ``network``; ``train_words (samples, *shape)`` by input name (or of the only one) are the training
    part in its input formats.

    ``extrapolates``: a regression whose inputs may leave the range of the training part.
    """
    if not isinstance(train_words, Mapping):
        train_words = {network.inputs[0].name: train_words}
    step = max(1, len(next(iter(train_words.values()))) // _CALIBRATION_SAMPLES)
    words = {name: taken[::step] for name, taken in train_words.items()}
    inputs: dict[str, Grid] = {}
    for node in network.inputs:
        limit = format_span(node.result)
        if widths.activations == 16:
            inputs[node.name] = finest_grid_16(limit, limit)
        elif extrapolates or len(network.inputs) > 1:
            inputs[node.name] = finest_grid(limit, limit)
        else:
            inputs[node.name] = _least_disturbing(network, words[node.name], train_words[node.name])
    calibration = [words]
    if extrapolates:
        calibration.append({name: _sweep(network, name, taken, inputs[name]) for name, taken in train_words.items()})
    found = [run(network, part, network.outputs) for part in calibration]
    ranges = analyse(network)
    outputs = {}
    for name in network.outputs:
        results = reduce(Span.hull, (_results(network, name, part) for part in found))
        if not extrapolates:
            results = results.widened(_ROOM)
        proven = ranges[name]
        possible = Span(proven.lowest, proven.highest, proven.fractional_bits)
        finest = finest_grid if widths.results == 8 else finest_grid_16
        outputs[name] = finest(results.within(possible), possible)
    return Ports(inputs, outputs)


def on_port(network: FixedPointNetwork, grid: Grid, words: Words) -> Words:
    """Input words of ``network`` after they went through the port: rounded, saturated, back in the input format."""
    node = network.inputs[0]
    stored = grid.words_of(grid.quantize(words, node.result.fractional_bits, node.result.rounding))
    span = port_span(node, grid)
    return np.clip(stored, span.low, span.high) << (node.result.fractional_bits - grid.fractional_bits)


def _least_disturbing(network: FixedPointNetwork, words: Words, all_words: Words) -> Grid:
    node = network.inputs[0]
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
    expected = run(network, {node.name: words}, network.outputs)
    errors = []
    for grid in candidates:
        found = run(network, {node.name: on_port(network, grid, words)}, network.outputs)
        errors.append(sum(_disturbance(found[name], expected[name]) for name in network.outputs))
    return candidates[int(np.argmin(errors))]


def _disturbance(found: Words, expected: Words) -> float:
    """The mean squared difference of an output's words, as a share of the output's own mean square."""
    wanted = expected.astype(np.float64)
    return float(np.square(found.astype(np.float64) - wanted).mean() / max(np.square(wanted).mean(), 1.0))


def _results(network: FixedPointNetwork, name: str, found: Mapping[str, Words]) -> Span:
    return span_of(found[name], network[name].result.fractional_bits)


def _sweep(network: FixedPointNetwork, name: str, train_words: Words, grid: Grid) -> Words:
    """Samples of one constant each, from 7/8 of the way to the port's low end to 7/8 of the way to its high end."""
    node = network[name]
    span = port_span(node, grid)
    finer = node.result.fractional_bits - grid.fractional_bits
    ends = max(span.low, grid.low) << finer, min(span.high, grid.high) << finer
    seen = span_of(train_words, node.result.fractional_bits)
    low = seen.low - (seen.low - ends[0]) * 7 // 8
    high = seen.high + (ends[1] - seen.high) * 7 // 8
    levels = np.clip(np.linspace(low, high, _SWEEP_STEPS).round().astype(np.int64), *ends)
    return np.broadcast_to(levels.reshape(-1, *(1 for _ in node.shape)), (len(levels), *node.shape)).copy()
