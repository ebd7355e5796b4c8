"""What products with constant integers cost: the counting that estimates and hardware-aware pruning share.

Under the latency strategy the weights are constants. A zero is free, one canonical-signed-digit (CSD) digit is wiring,
two digits are an adder, three or more a multiplier; equal signed weights on one input share their product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Look-up tables that one DSP block is worth. Devices of this flow hold 94 (Kria K26) to 242 (XC7Z020) look-up tables
#: for each DSP block, and a 12 x 10 bit constant product in fabric takes about this many.
LUT_PER_DSP = 100
#: A constant multiplier in fabric: look-up tables for each bit of the product's area (5x6: 23, 6x8: 40, 8x8: 62).
LUT_PER_MULTIPLIER_AREA = 0.9
#: Operand widths of one DSP block's multiplier: (long, short) by device family (AMD UG479, UG579).
_DSP_OPERANDS = {"7series": (25, 18)}
_DSP_OPERANDS_ULTRASCALE = (27, 18)


@dataclass(frozen=True)
class Operands:
    """Widths in bits around a kernel, and the device family that multiplies (``7series``, ``ultrascale_plus``, …)."""

    data_width: int
    accumulator_width: int
    family: str = "ultrascale_plus"


def csd_digits(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Non-zero digits of each integer's canonical signed-digit form: the ones of ``x ^ 3x`` (Reitwiesner 1960)."""
    magnitude = np.abs(weights.astype(np.int64))
    pattern = magnitude ^ (3 * magnitude)
    total = np.zeros_like(magnitude)
    while pattern.any():
        total += pattern & 1
        pattern >>= 1
    return total


def constant_bits(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of each constant as an operand: of the magnitude, and one more for the sign of a negative one.

    So positive 11 and 13 have 4 bits and are built in fabric, as in all 46 published designs where they occur.
    """
    magnitude = np.abs(weights.astype(np.int64))
    bits: NDArray[np.int64] = np.ceil(np.log2(magnitude + 1.0)).astype(np.int64) + (weights < 0)
    return bits


def uses_dsp(data_bits: int, bits: int, least: int = 5) -> bool:
    """Whether the tool binds a product to DSP blocks: not below ``least`` bits, not when both have at most 9."""
    return min(data_bits, bits) >= least and max(data_bits, bits) > 9


def dsp_blocks(wide: int, narrow: int, family: str) -> int:
    """DSP blocks of one product: exact for all 16,569 multipliers that were looked at."""
    long, short = _DSP_OPERANDS.get(family, _DSP_OPERANDS_ULTRASCALE)
    if wide <= long and narrow <= short:
        return 1
    return math.ceil(wide / (long - 1)) * math.ceil(narrow / (short - 1))


def product_lut_equivalents(data_bits: int, bits: int, family: str) -> float:
    """Look-up-table equivalents of one product of ``data_bits`` by a constant of ``bits`` (three digits or more)."""
    if uses_dsp(data_bits, bits):
        return float(LUT_PER_DSP * dsp_blocks(max(data_bits, bits), min(data_bits, bits), family))
    return LUT_PER_MULTIPLIER_AREA * data_bits * bits


def weight_lut_equivalents(weights: NDArray[np.int64], operands: Operands) -> NDArray[np.float64]:
    """Each weight's share of its kernel's hardware, in look-up-table equivalents; the same shape as ``weights``.

    ``weights`` ``(n_in, n_out)`` or ``(*window, n_in, n_out)`` are integers (words of the kernel's format, built once:
    latency strategy, reuse factor 1). A share is one adder of the accumulator's width, and the weight's product divided
    by the number of weights that share it. The sum over a kernel is ``lut_equivalents``.
    """
    matrix = np.asarray(weights, dtype=np.int64).reshape(-1, weights.shape[-1])
    values, place = np.unique(matrix, return_inverse=True)
    place = place.reshape(matrix.shape)
    digits, bits = csd_digits(values), constant_bits(values)
    product = np.array([
        0.0 if d < 2 else float(operands.data_width) if d == 2
        else product_lut_equivalents(operands.data_width, int(b), operands.family)
        for d, b in zip(digits, bits, strict=True)
    ])  # fmt: skip
    sharing = np.zeros((len(matrix), len(values)), dtype=np.int64)
    np.add.at(sharing, (np.arange(len(matrix))[:, None], place), 1)
    shared = product[place] / np.take_along_axis(sharing, place, axis=1)
    cost = np.where(matrix != 0, shared + operands.accumulator_width, 0.0)
    return cost.reshape(weights.shape)


def lut_equivalents(weights: NDArray[np.int64], operands: Operands) -> float:
    """Look-up-table equivalents of a kernel built once: its adders, its products in fabric, its DSP blocks.

    One DSP block counts as ``LUT_PER_DSP`` look-up tables. Zeroing a weight never raises it.
    """
    return float(weight_lut_equivalents(weights, operands).sum())
