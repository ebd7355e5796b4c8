"""Number formats: one convention, and its exact arithmetic on raw integer words.

A *word* ``w`` in a format with ``fractional_bits`` f stands for the value ``w * 2**-f``. ``integer_bits`` never counts
the sign bit, as in QKeras; ``ap_fixed<W, I>`` counts it. The two conventions are crossed in exactly two places:
``FixedPoint.ap_fixed`` / ``parse_ap_fixed`` here, and ``quantize.qkeras_formats`` for QKeras.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Raw words: int64, or Python integers in an object array where 64 bits do not suffice.
Words = NDArray[Any]


class Rounding(StrEnum):
    """Names and meaning of AMD UG1399, "Quantization Modes"; applied when fractional bits are dropped."""

    TRN = "TRN"  # towards minus infinity (floor)
    TRN_ZERO = "TRN_ZERO"  # towards zero
    RND = "RND"  # nearest, ties towards plus infinity
    RND_ZERO = "RND_ZERO"  # nearest, ties towards zero
    RND_MIN_INF = "RND_MIN_INF"  # nearest, ties towards minus infinity
    RND_INF = "RND_INF"  # nearest, ties away from zero
    RND_CONV = "RND_CONV"  # nearest, ties to even (convergent)


class Overflow(StrEnum):
    """Names and meaning of AMD UG1399, "Overflow Modes"; applied after rounding."""

    WRAP = "WRAP"  # keep the low bits (two's complement)
    SAT = "SAT"  # clip to the format's range
    SAT_SYM = "SAT_SYM"  # clip to -max .. max
    SAT_ZERO = "SAT_ZERO"  # zero when out of range


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """A fixed-point format. ``integer_bits`` and ``fractional_bits`` may be negative; the width is at least 1."""

    signed: bool
    integer_bits: int
    fractional_bits: int
    rounding: Rounding = Rounding.TRN
    overflow: Overflow = Overflow.WRAP

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"a format needs at least one bit, this has {self.width}")

    @property
    def width(self) -> int:
        """Total bits, sign included."""
        return int(self.signed) + self.integer_bits + self.fractional_bits

    @property
    def min_word(self) -> int:
        if not self.signed:
            return 0
        low = -(1 << (self.width - 1))
        return low + 1 if self.overflow is Overflow.SAT_SYM and self.width > 1 else low

    @property
    def max_word(self) -> int:
        return (1 << (self.width - int(self.signed))) - 1

    @property
    def lsb(self) -> float:
        """The value of one word step (exact: a power of two)."""
        return float(2.0**-self.fractional_bits)

    def same_grid(self, other: FixedPoint) -> bool:
        """Whether both hold the same values, whatever rounding and overflow brought them there."""
        mine = (self.signed, self.integer_bits, self.fractional_bits)
        return mine == (other.signed, other.integer_bits, other.fractional_bits)

    def with_modes(self, rounding: Rounding, overflow: Overflow) -> FixedPoint:
        return replace(self, rounding=rounding, overflow=overflow)

    def requantize(self, words: Words, fractional_bits: int) -> Words:
        """``words`` on the grid ``2**-fractional_bits``, rounded and then brought into range by this format.

        Any shape in, the same shape out; exact for any size of word (falls back to Python integers).
        """
        return shrink(_overflow(self._rounded(words, fractional_bits, self.width), self))

    def leaves(self, words: Words, fractional_bits: int) -> NDArray[np.bool_]:
        """Where ``words`` on the grid ``2**-fractional_bits``, rounded by this format, are out of its range."""
        rounded = self._rounded(words, fractional_bits, 0)
        return np.asarray((rounded < self.min_word) | (rounded > self.max_word), dtype=np.bool_)

    def _rounded(self, words: Words, fractional_bits: int, width: int) -> Words:
        """On this format's grid, not yet in its range; in Python integers where int64 or ``width`` bits need it."""
        shift = fractional_bits - self.fractional_bits
        words = _room_for(words, shift, width)
        return words << -shift if shift <= 0 else _round(words, shift, self.rounding)

    def words_of(self, values: NDArray[Any]) -> Words:
        """The words of float64 ``values`` after this format's rounding and overflow (exact: doubles are dyadic).

        Raises ValueError on NaN or infinity.
        """
        values = np.asarray(values, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("NaN or infinity has no fixed-point word")
        # Scaling loses nothing unless it leaves the range of doubles; below it, any tiny value rounds the same.
        mantissa, exponent = np.frexp(values)
        with np.errstate(over="ignore"):
            scaled = np.ldexp(mantissa, np.maximum(exponent + self.fractional_bits, -1000))
        if not np.isfinite(scaled).all():
            return self._words_of_fractions(values)
        floor = np.floor(scaled)
        # The difference of the two need not be a double (-1/2 + 2**-54 is a tie in it), but floor + 1/2 is one where
        # scaled is no integer; of the rest only its relation to 0 and 1/2 matters.
        middle = floor + 0.5
        quarters = np.where(scaled == floor, 0, np.where(scaled < middle, 1, np.where(scaled == middle, 2, 3)))
        if np.abs(floor).max(initial=0) < 2.0**58:
            return self.requantize(floor.astype(np.int64) * 4 + quarters, self.fractional_bits + 2)
        whole = np.array([int(x) for x in floor.flat], dtype=object).reshape(values.shape)
        return self.requantize(whole * 4 + quarters, self.fractional_bits + 2)

    def _words_of_fractions(self, values: NDArray[np.float64]) -> Words:
        """``words_of`` in Python integers, for values that are beyond the doubles once they are scaled."""
        grid = 1074  # every double is an integer on the grid 2**-1074
        whole = np.empty(values.shape, dtype=object)
        for place, value in np.ndenumerate(values):
            numerator, denominator = float(value).as_integer_ratio()
            whole[place] = numerator * (1 << grid) // denominator
        return self.requantize(whole, grid)

    def values_of(self, words: Words) -> NDArray[np.float64]:
        """The values of ``words`` as float64 (exact up to 53 significant bits)."""
        return np.asarray(np.ldexp(np.asarray(words, dtype=np.float64), -self.fractional_bits))

    def ap_fixed(self) -> str:
        """The format as the HLS libraries write it: ``ap_[u]fixed<width, integer bits with sign[, Q, O, 0]>``."""
        name = "ap_fixed" if self.signed else "ap_ufixed"
        size = f"{self.width},{self.integer_bits + int(self.signed)}"
        if self.rounding is Rounding.TRN and self.overflow is Overflow.WRAP:
            return f"{name}<{size}>"
        return f"{name}<{size},AP_{self.rounding},AP_{self.overflow},0>"

    def __str__(self) -> str:
        return self.ap_fixed()


_AP_FIXED = re.compile(
    r"^\s*ap_(u?)fixed<\s*(\d+)\s*,\s*(-?\d+)\s*(?:,\s*AP_(\w+)\s*)?(?:,\s*AP_(\w+)\s*)?(?:,\s*(\d+)\s*)?>\s*$"
)
_AP_INT = re.compile(r"^\s*ap_(u?)int<\s*(\d+)\s*>\s*$")


def parse_ap_fixed(text: str) -> FixedPoint:
    """The inverse of ``FixedPoint.ap_fixed``; also reads ``ap_[u]int<N>``. Raises ValueError on anything else."""
    whole = _AP_INT.match(text)
    if whole:
        signed = not whole[1]
        return FixedPoint(signed, int(whole[2]) - int(signed), 0)
    match = _AP_FIXED.match(text)
    if not match or match[6] not in (None, "0"):
        raise ValueError(f"not an ap_fixed type: {text!r}")
    signed, width, integer = not match[1], int(match[2]), int(match[3])
    rounding = Rounding(match[4]) if match[4] else Rounding.TRN
    overflow = Overflow(match[5]) if match[5] else Overflow.WRAP
    return FixedPoint(signed, integer - int(signed), width - integer, rounding, overflow)


def smallest_format(low: int, high: int, fractional_bits: int) -> FixedPoint:
    """The narrowest format on the grid ``2**-fractional_bits`` that holds every word from ``low`` to ``high``."""
    signed = low < 0
    magnitude = max(max(high, 0).bit_length(), (-low - 1).bit_length() if signed else 0)
    width = max(1, magnitude + int(signed))
    return FixedPoint(signed, width - int(signed) - fractional_bits, fractional_bits)


def shrink(words: Words) -> Words:
    """int64 when every word fits, else the words as they are."""
    if words.dtype != object:
        return words
    if words.size == 0 or (max(words.flat) < 2**62 and min(words.flat) >= -(2**62)):
        return words.astype(np.int64)
    return words


def _room_for(words: Words, shift: int, width: int) -> Words:
    words = np.asarray(words)
    if words.dtype == object:
        return words
    if words.dtype != np.int64:
        words = words.astype(np.int64)
    largest = int(np.abs(words).max(initial=0)) if words.size else 0
    if width > 62 or abs(shift) > 62 or largest.bit_length() + max(-shift, 0) > 62 or largest < 0:
        return words.astype(object)
    return words


def _round(words: Words, shift: int, mode: Rounding) -> Words:
    floor = words >> shift
    if mode is Rounding.TRN:
        return floor
    rest = words - (floor << shift)
    half = 1 << (shift - 1)
    if mode is Rounding.TRN_ZERO:
        up = (words < 0) & (rest != 0)
    else:
        tie_up = {
            Rounding.RND: np.ones_like(words, dtype=bool),
            Rounding.RND_MIN_INF: np.zeros_like(words, dtype=bool),
            Rounding.RND_ZERO: (words < 0).astype(bool),
            Rounding.RND_INF: (words >= 0).astype(bool),
            Rounding.RND_CONV: (floor & 1 == 1).astype(bool),
        }[mode]
        up = (rest > half) | ((rest == half) & tie_up)
    return np.asarray(floor + up.astype(np.int64))


def _overflow(words: Words, form: FixedPoint) -> Words:
    low, high = form.min_word, form.max_word
    if form.overflow is Overflow.WRAP:
        bottom = -(1 << (form.width - 1)) if form.signed else 0
        return ((words - bottom) & ((1 << form.width) - 1)) + bottom
    if form.overflow is Overflow.SAT_ZERO:
        return np.where((words < low) | (words > high), 0, words)
    return np.minimum(np.maximum(words, low), high)
