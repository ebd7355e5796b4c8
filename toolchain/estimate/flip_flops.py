"""Flip-flops of a layer whose weights are constants, as C synthesis reports them.

Vivado: least squares of the relative error over wa-hls4ml-search designs (Vivado HLS 2020.1, 5 ns, 16-bit accumulator,
one dense layer); Vitis: one factor for each non-zero weight and accumulator bit, from six networks of Vitis HLS 2021.1.
"""

from __future__ import annotations

from toolchain.estimate.counting import Counts
from toolchain.estimate.design import DesignLayer

#: Vitis pipelines the adder trees: flip-flops for each non-zero weight and accumulator bit, and for each input bit.
VITIS_PER_NONZERO_BIT = 1.35
VITIS_PER_INPUT_BIT = 1.0
#: Below this many for each non-zero weight no Vivado design of one cycle was seen that has multipliers.
VIVADO_LEAST_PER_NONZERO = 1.7


def flip_flops(layer: DesignLayer, counts: Counts, tool: str, rounds: int) -> tuple[float, tuple[float, float]]:
    """(flip-flops, 80 % spread as factors). ``rounds``: how often the multipliers are used for one word."""
    if tool == "vitis":
        count = VITIS_PER_NONZERO_BIT * counts.nonzeros * layer.accumulator_width
        return count + VITIS_PER_INPUT_BIT * counts.n_in * layer.data_width, (0.6, 1.5)
    bits = layer.accumulator_width / 16
    if layer.reuse_factor > 1 and rounds > 2:  # products wait in registers; 30 designs, residuals 0.84 .. 1.10
        found = 11.2 * counts.multipliers + 22.5 * counts.adders - 12.7 * counts.n_out
        return max(found, VIVADO_LEAST_PER_NONZERO * counts.nonzeros) * bits, (0.85, 1.2)
    if layer.strategy == "resource":  # 35 designs, 80 % of residuals 0.72 .. 1.15
        found = 9.0 * counts.multipliers + 5.2 * counts.adders + 18.4 * counts.n_out
        return found * bits, (0.8, 1.35)
    # 27 designs, 80 % of residuals 0.82 .. 1.14
    found = 2.7 * counts.nonzeros + 1.4 * counts.multipliers - 23.0 * counts.n_out
    return max(found, VIVADO_LEAST_PER_NONZERO * counts.nonzeros) * bits, (0.7, 1.3)
