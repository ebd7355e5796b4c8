"""Softmax and LayerNormalization as compositions: sums, tables of exp, 1/s and 1/√v, and products.

Their formats and how far they may lie from the real functions: ``normalization_formats.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network.builder import NetworkBuilder
from toolchain.network.compositions import function, reciprocal_words
from toolchain.network.functions import Function, reciprocal, reciprocal_root
from toolchain.network.nodes import IntArray

_ONE = FixedPoint(False, 1, 0)


@dataclass(frozen=True)
class SoftmaxFormats:
    """``difference``: x − max(x), the input of the table of exp; ``exponential``: what that table gives; ``total``: the
    sum, input of the table of reciprocals; ``reciprocal``: what that gives; ``result``: the product of both tables'."""

    difference: FixedPoint
    exponential: FixedPoint
    total: FixedPoint
    reciprocal: FixedPoint
    result: FixedPoint


def softmax(b: NetworkBuilder, name: str, x: str, formats: SoftmaxFormats, subtract_max: bool = True) -> str:
    """exp(x) / Σ exp(x) over the last axis of x ``(n,)`` or ``(steps, n)``.

    Without ``subtract_max`` the table of exp reads x itself, in the format ``difference``.
    """
    if subtract_max:
        x = b.subtract(f"{name}_below", (x, _spread(b, f"{name}_max", _row_max(b, name, x), b.shape_of(x)[-1], name)))
    x = b.requantize(f"{name}_difference", x, formats.difference, name)
    exponentials = function(b, f"{name}_exp", x, np.exp, formats.exponential, name)
    ones = np.ones((b.shape_of(x)[-1], 1), dtype=np.int64)
    total = b.dense(f"{name}_sum", exponentials, ones, _ONE, None, None, formats.total, name, constant=True)
    inverse = function(b, f"{name}_reciprocal", total, reciprocal, formats.reciprocal, name)
    inverses = _spread(b, f"{name}_inverse", inverse, len(ones), name)
    return b.multiply(name, (exponentials, inverses), formats.result, name)


def _spread(b: NetworkBuilder, name: str, x: str, n: int, layer: str) -> str:
    """The one value of the last axis of x, n times."""
    return b.dense(name, x, np.ones((1, n), dtype=np.int64), _ONE, layer=layer, constant=True)


def _row_max(b: NetworkBuilder, name: str, x: str) -> str:
    """The largest value of the last axis: ``(1,)`` or ``(steps, 1)``."""
    shape = b.shape_of(x)
    n, steps = shape[-1], (shape[0] if len(shape) > 1 else 1)
    if len(shape) == 1:
        x = b.reshape(f"{name}_column", x, (n, 1), name)
    else:
        x = b.permute(f"{name}_columns", x, (1, 0), name)
    largest = b.max_pool(f"{name}_largest", x, (n,), (n,), ((0, 0),), name)
    return b.reshape(f"{name}_largest_row", largest, (1,) if len(shape) == 1 else (steps, 1), name)


@dataclass(frozen=True)
class LayerNormFormats:
    """``centered``: x − mean; ``variance``: input of the table of 1/√(v + epsilon); ``inverse``: what that gives;
    ``normalized``: their product, to which gamma and beta are applied; ``result`` after those.

    ``finer``: inputs of further tables for small variances, each over a smaller range than the one before.
    """

    centered: FixedPoint
    variance: FixedPoint
    inverse: FixedPoint
    normalized: FixedPoint
    result: FixedPoint
    finer: tuple[FixedPoint, ...] = ()

    @property
    def tables(self) -> tuple[tuple[FixedPoint, float], ...]:
        """The format of each table's input, and the variance from which on it is the one that counts."""
        forms = (self.variance, *self.finer)
        below = [2.0**form.integer_bits for form in self.finer]
        return tuple(zip(forms, [*below, 0.0], strict=True))


@dataclass(frozen=True)
class Affine:
    """gamma and beta ``(channels,)`` as words of their formats."""

    gamma: IntArray
    gamma_format: FixedPoint
    beta: IntArray
    beta_format: FixedPoint


def layer_normalization(
    b: NetworkBuilder, name: str, x: str, affine: Affine, formats: LayerNormFormats, *, epsilon: float = 1e-3,
    reciprocal_bits: int = 16,
) -> str:  # fmt: skip
    """gamma · (x − mean) / √(variance + epsilon) + beta over the last axis of x ``(n,)`` or ``(steps, n)``.

    1 / n is exact where n is a power of two, else the nearest word with ``reciprocal_bits`` fractional bits. Of several
    tables the smallest value is taken: each holds its largest word below the variances that it is for.
    """
    n = b.shape_of(x)[-1]
    words, form = reciprocal_words(np.array([n]), reciprocal_bits)
    share = np.full((n, 1), words[0], dtype=np.int64)
    mean = b.dense(f"{name}_mean", x, share, form, layer=name, constant=True)
    centered = b.subtract(f"{name}_centered", (x, _spread(b, f"{name}_means", mean, n, name)), formats.centered, name)
    squares = b.multiply(f"{name}_squares", (centered, centered), layer=name)
    variance = b.dense(f"{name}_variance", squares, share, form, None, None, None, name, constant=True)
    inverse = _inverse(b, name, variance, formats, epsilon)
    inverses = _spread(b, f"{name}_inverses", inverse, n, name)
    normalized = b.multiply(f"{name}_normalized", (centered, inverses), formats.normalized, name)
    return b.scale(name, normalized, affine.gamma, affine.gamma_format, affine.beta, affine.beta_format, formats.result)


def _inverse(b: NetworkBuilder, name: str, variance: str, formats: LayerNormFormats, epsilon: float) -> str:
    found = []
    for number, (form, least) in enumerate(formats.tables):
        narrow = b.requantize(f"{name}_variance{number}", variance, form, name)
        of = _from(least, reciprocal_root(epsilon))
        found.append(function(b, f"{name}_inverse{number}", narrow, of, formats.inverse, name))
    return found[0] if len(found) == 1 else b.minimum(f"{name}_inverse", tuple(found), formats.inverse, name)


def _from(least: float, of: Function) -> Function:
    """``of`` from ``least`` on; below it what saturates every format."""
    return lambda x: np.where(x < least, np.finfo(np.float64).max, of(x))
