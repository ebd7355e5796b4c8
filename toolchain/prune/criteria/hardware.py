"""Importance of a weight for each look-up table that it costs.

Under the latency strategy a weight's price is its adder and its share of a constant multiplier: none for a power of
two, an adder for two signed digits, fabric or DSP blocks for more; equal weights on one input share it. Under the
resource strategy one DSP block serves ``reuse_factor`` consecutive inputs of an output: there the unit that the
hardware pays for is ``block = [reuse_factor, 1]``.
"""

from __future__ import annotations

import numpy as np

from toolchain.model.graph import Array
from toolchain.network.constant_products import Operands, weight_lut_equivalents


def importance(kernel: Array, loss_growth: Array, weight_bits: int, operands: Operands) -> Array:
    """``loss_growth / look-up-table equivalents`` of every weight; the kernel's shape.

    ``loss_growth`` is how much the loss would grow without the weight (``w^2``, or ``hessian.importance``). A weight
    that is zero in ``weight_bits`` costs nothing and is worth nothing.
    """
    cost = weight_lut_equivalents(words(kernel, weight_bits), operands)
    return np.where(cost > 0, loss_growth / np.maximum(cost, 1e-30), 0.0)


def words(kernel: Array, weight_bits: int) -> np.ndarray:
    """The kernel as ``weight_bits``-bit integers, the largest weight just inside the range: power-of-two scale."""
    largest = float(np.abs(kernel).max(initial=0.0))
    if largest == 0.0:
        return np.zeros(kernel.shape, dtype=np.int64)
    limit = 2 ** (weight_bits - 1) - 1
    exponent = int(np.floor(np.log2((limit + 0.5) / largest)))
    return np.clip(np.rint(np.ldexp(kernel, exponent)), -limit - 1, limit).astype(np.int64)
