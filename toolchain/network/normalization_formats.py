"""Which formats a Softmax or LayerNormalization gets, and a proven bound on its distance from the real function.

The bounds hold for every input of the input format. They follow the composition node by node with the triangle
inequality; what a table contributes is found by going through all its words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.compositions import reciprocal_words
from toolchain.network.functions import input_values, reciprocal_root, table_words
from toolchain.network.normalization import Affine, LayerNormFormats, SoftmaxFormats

MODES = (Rounding.RND_CONV, Overflow.SAT)
#: Bits of a table's input, and of what it gives.
TABLE_BITS, WORD_BITS = 12, 18
#: Below -16, exp is less than half a word of its table.
_DEEPEST = 4
#: Each further table of 1 / √v has this many integer bits fewer, until its step is this fraction of epsilon.
_NARROWER, _FINE = 6, 8


def softmax_formats(x: FixedPoint, values: int, result: FixedPoint) -> SoftmaxFormats:
    """For ``values`` numbers in the format ``x``. The exponential of the largest is 1, so sums are from 1 on."""
    integer = min(_DEEPEST, x.integer_bits + 1)
    fractional = min(max(x.fractional_bits, 1 - integer), TABLE_BITS - 1 - integer)
    total = values.bit_length()
    unit = FixedPoint(False, 1, WORD_BITS - 1, *MODES)
    return SoftmaxFormats(
        FixedPoint(True, integer, fractional, *MODES), unit, FixedPoint(False, total, TABLE_BITS - total, *MODES),
        unit, result,
    )  # fmt: skip


def softmax_bound(x: FixedPoint, values: int, formats: SoftmaxFormats) -> float:
    """How far the composition may lie from exp(x) / Σ exp(x), before its result is rounded."""
    difference, total = formats.difference, formats.total
    rounded = 0.0 if difference.fractional_bits >= x.fractional_bits else difference.lsb / 2
    lowest = float(difference.values_of(np.array(difference.min_word)))
    clipped = math.exp(lowest) if _highest(x) - _lowest(x) > -lowest else 0.0
    exponential = formats.exponential.lsb / 2 + max(rounded, clipped)  # |exp'| <= 1 where x <= 0; clipped: both below
    of_sum = (values - 1) * exponential  # the largest is exactly 1
    if total.fractional_bits < formats.exponential.fractional_bits:
        of_sum += total.lsb / 2
    inverse = of_sum + formats.reciprocal.lsb / 2  # |1/s - 1/t| <= |s - t|: both are at least 1
    return exponential + inverse


@dataclass(frozen=True)
class LayerNorm:
    """What a LayerNormalization is beside its formats: input format, channels, epsilon, bits of 1 / channels."""

    x: FixedPoint
    channels: int
    epsilon: float

    @property
    def reciprocal_bits(self) -> int:
        return 16 + self.channels.bit_length()

    @property
    def share_error(self) -> float:
        """Of 1 / channels."""
        words, form = reciprocal_words(np.array([self.channels]), self.reciprocal_bits)
        return abs(float(form.values_of(words)[0]) - 1 / self.channels)

    @property
    def largest(self) -> float:
        """The largest magnitude of x: an upper bound of its deviation, too."""
        return max(-_lowest(self.x), _highest(self.x))

    @property
    def exact_bits(self) -> int:
        """Fractional bits of x − mean."""
        n = self.channels
        return self.x.fractional_bits + (n.bit_length() - 1 if n & (n - 1) == 0 else self.reciprocal_bits)


def layer_norm_formats(layer: LayerNorm, result: FixedPoint) -> LayerNormFormats:
    """Tables over the whole range of the variance, and over smaller ones until their step is small against epsilon."""
    x, n = layer.x, layer.channels
    integer = x.integer_bits + 1
    centered = FixedPoint(True, integer, min(layer.exact_bits, WORD_BITS - 3 - integer), *MODES)
    exact = 2 * centered.fractional_bits + (n.bit_length() - 1 if n & (n - 1) == 0 else layer.reciprocal_bits)
    tables, bits = [], 2 * x.integer_bits
    while True:
        fractional = min(TABLE_BITS - bits, exact)
        tables.append(FixedPoint(False, bits, max(fractional, 1 - bits), *MODES))
        if fractional == exact or tables[-1].lsb <= layer.epsilon / _FINE:
            break
        bits -= _NARROWER
    of_inverse = max(0, math.frexp(1 / math.sqrt(layer.epsilon))[1])
    inverse = FixedPoint(False, of_inverse, WORD_BITS - of_inverse, *MODES)
    of_normalized = math.frexp(1.1 * math.sqrt(n))[1]
    normalized = FixedPoint(True, of_normalized, WORD_BITS - 1 - of_normalized, *MODES)
    return LayerNormFormats(centered, tables[0], inverse, normalized, result, tuple(tables[1:]))


def layer_norm_bound(
    layer: LayerNorm, formats: LayerNormFormats, affine: Affine, real: tuple[np.ndarray, np.ndarray]
) -> float:  # fmt: skip
    """How far the composition may lie from gamma · (x − mean) / √(variance + epsilon) + beta, before its result is
    rounded; ``real`` are gamma and beta themselves."""
    error, reach = _centered_error(layer, formats), math.sqrt(layer.channels - 1)
    worst = 0.0
    for form, least in formats.tables:
        v = input_values(form)
        inverse = formats.inverse.values_of(table_words(reciprocal_root(layer.epsilon), form, formats.inverse))
        keep = v >= least
        v, inverse = v[keep], inverse[keep]
        low, high = _true_variances(layer, error, v, form)
        if form == formats.variance:
            high[-1] = max(high[-1], layer.largest**2)  # the last word stands for all beyond it
        away = np.maximum(
            np.abs(inverse - 1 / np.sqrt(low + layer.epsilon)), np.abs(inverse - 1 / np.sqrt(high + layer.epsilon))
        )  # fmt: skip
        # no value lies further from the mean than √((n - 1) · variance) (Samuelson 1968)
        worst = max(worst, float((reach * np.sqrt(high) * away + error * inverse).max()))
    slope, shift = affine.gamma_format.values_of(affine.gamma), affine.beta_format.values_of(affine.beta)
    of_normalized = worst + formats.normalized.lsb / 2
    away = np.abs(slope - real[0]) * reach + np.abs(slope) * of_normalized + np.abs(shift - real[1])
    return float(away.max())


def _centered_error(layer: LayerNorm, formats: LayerNormFormats) -> float:
    rounded = 0.0 if formats.centered.fractional_bits >= layer.exact_bits else formats.centered.lsb / 2
    return layer.channels * layer.largest * layer.share_error + rounded


def _true_variances(
    layer: LayerNorm, error: float, found: np.ndarray, form: FixedPoint
) -> tuple[np.ndarray, np.ndarray]:
    """Between which real variances x may lie when the table's input is ``found``."""

    def away(v: np.ndarray) -> np.ndarray:
        """Of Σ ĉ² · share from the variance v: |ĉ| differs from |c| by ``error`` at most."""
        root = np.sqrt(v)
        share = layer.share_error * layer.channels * (root + error) ** 2
        return np.asarray(2 * root * error + error**2 + share)

    most = np.full_like(found, layer.largest**2)
    high = most
    for _ in range(6):  # from above towards the largest v that v - away(v) <= found allows
        high = np.minimum(most, found + form.lsb / 2 + away(high))
    return np.maximum(0.0, found - form.lsb / 2 - away(high)), high


def _highest(form: FixedPoint) -> float:
    return float(form.values_of(np.array(form.max_word)))


def _lowest(form: FixedPoint) -> float:
    return float(form.values_of(np.array(form.min_word)))
