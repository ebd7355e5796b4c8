"""Words of different formats compared as the real numbers they stand for, exactly."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Words, shrink


def on_grid(words: Words, form: FixedPoint, fractional_bits: int) -> Words:
    """``words`` of format ``form`` on the grid ``2**-fractional_bits``, which must not be coarser than the format's."""
    shift = fractional_bits - form.fractional_bits
    assert shift >= 0
    words = np.asarray(words)
    if shift == 0:
        return words
    if words.dtype == object or _bits(words) + shift > 62:
        return shrink(np.asarray(words.astype(object) * (1 << shift)))
    return np.asarray(words << shift)


def differing(left: Words, left_format: FixedPoint, right: Words, right_format: FixedPoint) -> np.ndarray:
    """Where two arrays of the same shape hold different values (hls4ml may use tighter formats for the same)."""
    grid = max(left_format.fractional_bits, right_format.fractional_bits)
    return np.asarray(on_grid(left, left_format, grid) != on_grid(right, right_format, grid))


def _bits(words: Words) -> int:
    return max(int(words.max()).bit_length(), int(words.min()).bit_length()) if words.size else 0
