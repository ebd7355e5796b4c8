"""The functions of one word that become tables, and the tables' words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import FixedPoint
from toolchain.network.nodes import IntArray

Values = NDArray[np.float64]
Function = Callable[[Values], Any]


def sigmoid(x: Values) -> Values:
    return 1.0 / (1.0 + np.exp(-x))


def softplus(x: Values) -> Values:
    return np.logaddexp(x, 0.0)


def softsign(x: Values) -> Values:
    return x / (1.0 + np.abs(x))


def swish(x: Values) -> Values:
    """x · sigmoid(x), Keras' ``swish`` and ``silu``."""
    return x * sigmoid(x)


def hard_sigmoid(x: Values) -> Values:
    """Keras 2's: 0.2 x + 0.5, clipped to 0 … 1."""
    return np.clip(0.2 * x + 0.5, 0.0, 1.0)


def elu(alpha: float = 1.0) -> Function:
    """x where it is positive, else alpha (exp(x) − 1)."""
    return lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def selu(x: Values) -> Values:
    """Klambauer et al. 2017, with Keras' constants."""
    return np.asarray(1.05070098 * elu(1.67326324)(x))


def leaky_relu(slope: float) -> Function:
    """x where it is positive, else slope · x."""
    return lambda x: np.where(x > 0, x, slope * x)


def reciprocal(x: Values) -> Values:
    """1 / x; the largest double at zero, where there is none, so that a saturating format gives its largest value."""
    return np.divide(1.0, x, out=np.full_like(x, np.finfo(np.float64).max), where=x != 0)


def reciprocal_root(epsilon: float) -> Function:
    """1 / √(x + epsilon), as ``reciprocal`` at zero; for words that are not negative."""
    return lambda x: reciprocal(np.sqrt(np.maximum(x + epsilon, 0.0)))


#: Keras' activations by name, those that need no parameter.
BY_NAME: dict[str, Function] = {
    "sigmoid": sigmoid, "tanh": np.tanh, "softplus": softplus, "softsign": softsign, "exponential": np.exp,
    "elu": elu(), "selu": selu, "swish": swish, "silu": swish, "hard_sigmoid": hard_sigmoid,
}  # fmt: skip


def input_values(form: FixedPoint) -> Values:
    """The value of every word of ``form`` in the order of a table: by its bits, read as an unsigned number."""
    index = np.arange(1 << form.width)
    return form.values_of(np.where(form.signed & (index >= 1 << (form.width - 1)), index - (1 << form.width), index))


def table_words(function: Function, form: FixedPoint, result: FixedPoint) -> IntArray:
    """A table of ``function`` for input words in ``form``: the double that it gives, brought into ``result``.

    Raises ValueError when the function is not a number somewhere.
    """
    with np.errstate(over="ignore"):
        values = np.asarray(function(input_values(form)), dtype=np.float64)
    limit = np.finfo(np.float64).max
    return result.words_of(np.clip(values, -limit, limit))
