"""8- and 16-bit grids: which values an integer tensor holds, and how the ports' grids are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words

Int8Array = NDArray[np.int8]
QuantizedArray = NDArray[np.int8] | NDArray[np.int16]
Bits = Literal[8, 16]
LEVELS = 256


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of the activations, and of results that a narrower port would round."""

    activations: Bits
    results: Bits


INT8 = Widths(8, 8)
INT16X8 = Widths(16, 16)
#: int8 throughout, but the last layer writes int16: hardly anything is rounded at the port.
INT8_WIDE_RESULT = Widths(8, 16)

#: Wide enough for every word met here; only its rounding is used.
_WIDTH = 56


@dataclass(frozen=True, slots=True)
class Grid:
    """An integer tensor's values: ``(q - zero_point) * 2**-fractional_bits`` for q from ``lowest`` to ``highest``.

    TFLite's int16 tensors have zero point 0.
    """

    fractional_bits: int
    zero_point: int
    bits: Bits = 8

    @property
    def scale(self) -> float:
        """TFLite's scale: a power of two, exact in float32."""
        return float(2.0**-self.fractional_bits)

    @property
    def lowest(self) -> int:
        """The lowest q."""
        return -(1 << (self.bits - 1))

    @property
    def highest(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def low(self) -> int:
        """The lowest word (``q - zero_point``)."""
        return self.lowest - self.zero_point

    @property
    def high(self) -> int:
        return self.highest - self.zero_point

    @property
    def dtype(self) -> type[np.int8] | type[np.int16]:
        return np.int8 if self.bits == 8 else np.int16

    def quantize(self, words: Words, fractional_bits: int, rounding: Rounding) -> NDArray[Any]:
        """Quantized words of ``words * 2**-fractional_bits``: rounded, then saturated."""
        return self.store(_rounded(self.fractional_bits, rounding).requantize(words, fractional_bits))

    def quantize_values(self, values: NDArray[np.float64], rounding: Rounding) -> NDArray[Any]:
        """Quantized words of real values: rounded, then saturated. Raises ValueError on NaN or infinity."""
        return self.store(_rounded(self.fractional_bits, rounding).words_of(values))

    def words_of(self, quantized: NDArray[Any]) -> Words:
        """Words on the grid ``2**-fractional_bits``, without the zero point."""
        return quantized.astype(np.int64) - self.zero_point

    def values_of(self, quantized: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.ldexp(self.words_of(quantized).astype(np.float64), -self.fractional_bits))

    def store(self, words: Words) -> NDArray[Any]:
        """Quantized words of words on this grid, saturated."""
        return np.asarray(np.clip(words + self.zero_point, self.lowest, self.highest)).astype(self.dtype)


def _rounded(fractional_bits: int, rounding: Rounding) -> FixedPoint:
    return FixedPoint(True, _WIDTH - 1 - fractional_bits, fractional_bits, rounding, Overflow.SAT)


def grid_from(low: int, fractional_bits: int) -> Grid:
    """The grid whose lowest word is ``low``; TFLite's zero points reach lows from -255 to 0."""
    assert -255 <= low <= 0
    return Grid(fractional_bits, -128 - low)


@dataclass(frozen=True, slots=True)
class Span:
    """Inclusive words on the grid ``2**-fractional_bits``."""

    low: int
    high: int
    fractional_bits: int

    def widened(self, share: float) -> Span:
        """With ``share`` of its own width more on each side."""
        more = int((self.high - self.low) * share)
        return Span(self.low - more, self.high + more, self.fractional_bits)

    def within(self, limit: Span) -> Span:
        low, high = max(self.low, limit.low), min(self.high, limit.high)
        return Span(min(low, high), max(low, high), self.fractional_bits)

    def coarser(self, drop: int) -> Span:
        """The words inside it of the grid with ``drop`` fractional bits less, zero among them."""
        low, high = _ceiling(min(self.low, 0), drop), max(self.high, 0) >> drop
        return Span(low, high, self.fractional_bits - drop)

    def hull(self, other: Span) -> Span:
        return Span(min(self.low, other.low), max(self.high, other.high), self.fractional_bits)


def span_of(words: Words, fractional_bits: int) -> Span:
    return Span(int(words.min()), int(words.max()), fractional_bits)


def format_span(form: FixedPoint) -> Span:
    return Span(form.min_word, form.max_word, form.fractional_bits)


def exact_grid(low: int, high: int, fractional_bits: int, bits: Bits) -> Grid | None:
    """A grid that holds every word from ``low`` to ``high`` (and zero); None when there is none."""
    low, high = min(low, 0), max(high, 0)
    if bits == 16:
        return Grid(fractional_bits, 0, 16) if low >= -(1 << 15) and high < 1 << 15 else None
    if high - low >= LEVELS:
        return None
    return Grid(fractional_bits, 0) if low >= -128 and high <= 127 else grid_from(low, fractional_bits)


def finest_grid_16(needed: Span, limit: Span) -> Grid:
    """The finest int16 grid that covers ``needed``; ``limit`` holds the words that can occur at all."""
    reach = max(abs(min(needed.low, limit.high)), abs(needed.high), 1)
    if exact_grid(limit.low, limit.high, limit.fractional_bits, 16) is not None:
        return Grid(limit.fractional_bits, 0, 16)
    drop = max(0, reach.bit_length() - 15)
    return Grid(limit.fractional_bits - drop, 0, 16)


def finest_grid(needed: Span, limit: Span) -> Grid:
    """The finest grid that covers ``needed`` (both spans on one grid, zero always included).

    ``limit`` holds the words that can occur at all: with at most 256 of them nothing is lost; else spare levels go
    evenly to both sides, inside the limit. An end can lie up to one step inside the limit's.
    """
    if max(limit.high, 0) - min(limit.low, 0) < LEVELS:
        needed = limit
    drop = 0
    while (levels := _levels(needed, limit, drop)).high - levels.low >= LEVELS:
        drop += 1
    inside = limit.coarser(drop)
    start = levels.low - (LEVELS - 1 - levels.high + levels.low) // 2
    start = max(min(start, inside.high - (LEVELS - 1)), inside.low)
    return grid_from(min(max(start, 1 - LEVELS), 0), inside.fractional_bits)


def _levels(needed: Span, limit: Span, drop: int) -> Span:
    low, high = min(needed.low, 0) >> drop, _ceiling(max(needed.high, 0), drop)
    return Span(low, high, needed.fractional_bits - drop).within(limit.coarser(drop))


def _ceiling(word: int, drop: int) -> int:
    return -(-word >> drop)
