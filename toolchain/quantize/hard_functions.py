"""QKeras' piecewise linear sigmoids and tanhs: exact for inputs of any width, without a table.

QKeras 0.9 (``quantizers.py``): hard_sigmoid(x) = clip(x / 2 + 1 / 2, 0, 1); quantized_tanh rounds
2 · hard_sigmoid(x) − 1, quantized_sigmoid hard_sigmoid(x), half to even, and both clip to what their bits hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.builder import NetworkBuilder

_HALF, _ONE = FixedPoint(False, 0, 1), FixedPoint(False, 1, 0)


def is_hard(quantizer: Any) -> bool:
    """Whether an activation is one of those: what QKeras calls sigmoid is hard unless the program set another."""
    import qkeras.quantizers as made

    if getattr(made, "_sigmoid", None) is not made.hard_sigmoid:
        return quantizer is made.hard_sigmoid
    if getattr(quantizer, "use_stochastic_rounding", False):
        return False
    kind = type(quantizer).__name__
    if kind == "quantized_tanh":
        return not quantizer.use_real_tanh
    if kind == "quantized_sigmoid":
        return not quantizer.use_real_sigmoid and not quantizer.symmetric
    return quantizer is made.hard_sigmoid


def add_hard(b: NetworkBuilder, name: str, x: str, quantizer: Any) -> str:
    """The nodes of a hard function of ``x``, the last one called ``name``."""
    kind = type(quantizer).__name__
    if kind == "quantized_tanh":
        overflow = Overflow.SAT_SYM if quantizer.symmetric else Overflow.SAT
        form = FixedPoint(True, 0, int(quantizer.bits) - 1, Rounding.RND_CONV, overflow)
        return b.requantize(name, x, form, name)
    halves = np.ones(b.shape_of(x)[-1], dtype=np.int64)
    middle = b.scale(f"{name}_middle", x, halves, _HALF, halves, _HALF, layer=name)
    if kind == "quantized_sigmoid":
        form = FixedPoint(False, 0, int(quantizer.bits), Rounding.RND_CONV, Overflow.SAT)
        return b.requantize(name, middle, form, name)
    positive = b.relu(f"{name}_positive", middle, layer=name)
    lower = b.scale(f"{name}_lower", middle, halves, _ONE, -halves, FixedPoint(True, 1, 0), layer=name)
    beyond = b.relu(f"{name}_beyond", lower, layer=name)
    return b.subtract(name, (positive, beyond), None, name)


def hard_in_float64(quantizer: Any, x: np.ndarray) -> np.ndarray:
    """The formula of a hard function."""
    kind, shares = type(quantizer).__name__, np.clip(0.5 * x + 0.5, 0.0, 1.0)
    if kind == "quantized_tanh":
        steps = 2.0 ** (quantizer.bits - 1)
        low = -steps + float(bool(quantizer.symmetric))
        return np.asarray(np.clip(np.round((2.0 * shares - 1.0) * steps), low, steps - 1) / steps)
    if kind == "quantized_sigmoid":
        steps = 2.0**quantizer.bits
        return np.asarray(np.clip(np.round(shares * steps), 0.0, steps - 1) / steps)
    return np.asarray(shares)
