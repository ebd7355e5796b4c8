"""Words held in floats: their span, and exact instructions that bring them into another format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import FixedPoint, Overflow, Rounding

Values = NDArray[Any]  # words as float32, float64 or int64
#: Integers below 2**bits are exact in the type.
FLOATS = ((24, np.float32), (53, np.float64))


@dataclass(frozen=True)
class Span:
    """Every word of a tensor lies between these, on the grid of ``fractional_bits``."""

    low: int
    high: int
    fractional_bits: int

    @property
    def magnitude(self) -> int:
        return max(abs(self.low), abs(self.high))


class NoFloatsError(Exception):
    """No float computes this node exactly."""


def fits(span: Span, form: FixedPoint) -> bool:
    """Whether ``form`` holds every word of ``span`` unchanged."""
    shift = form.fractional_bits - span.fractional_bits
    return shift >= 0 and form.min_word <= span.low << shift and span.high << shift <= form.max_word


def change(
    span: Span, form: FixedPoint, *, rectified: bool = False
) -> tuple[list[Callable[[Values], object]], Span, int]:
    """Instructions in place that bring words of ``span`` into ``form``, the span after, the largest integer between.

    ``rectified``: what is negative becomes zero before. No rounding gives a negative word more than zero, nor a
    positive one less: one clip behind the rounding does both that and the saturation. Raises NoFloatsError for modes
    that are not worth it.
    """
    shift = span.fractional_bits - form.fractional_bits
    if abs(shift) > 60:
        raise NoFloatsError
    todo: list[Callable[[Values], object]] = []
    low, high, largest = span.low, span.high, span.magnitude
    if shift:
        factor = 2.0**-shift
        todo.append(lambda x: np.multiply(x, x.dtype.type(factor), out=x))
    if shift < 0:
        low, high = low << -shift, high << -shift
    elif shift > 0:
        todo += _rounding(form.rounding)
        largest += 1 << (shift - 1)
        low, high = low >> shift, -(-high >> shift)
    largest = max(largest, abs(low), abs(high))
    if rectified and low < 0:
        saturates = form.overflow in (Overflow.SAT, Overflow.SAT_SYM)
        low, high = 0, max(min(high, form.max_word) if saturates else high, 0)
        todo.append(_clip(low, high))
    if low < form.min_word or high > form.max_word:
        more, peak = _overflow(form)
        todo += more
        largest += peak
        low, high = (max(low, form.min_word), min(high, form.max_word)) if peak == 0 else (form.min_word, form.max_word)
        low, high = min(low, form.max_word), max(high, form.min_word)
    return todo, Span(low, high, form.fractional_bits), largest


def _rounding(mode: Rounding) -> list[Callable[[Values], object]]:
    if mode is Rounding.TRN:
        return [lambda x: np.floor(x, out=x)]
    if mode is Rounding.RND_CONV:
        return [lambda x: np.rint(x, out=x)]
    if mode is Rounding.RND:
        return [lambda x: np.add(x, x.dtype.type(0.5), out=x), lambda x: np.floor(x, out=x)]
    if mode is Rounding.TRN_ZERO:
        return [lambda x: np.trunc(x, out=x)]
    raise NoFloatsError


def _clip(low: int, high: int) -> Callable[[Values], object]:
    return lambda x: np.clip(x, x.dtype.type(low), x.dtype.type(high), out=x)  # sooner than maximum alone


def _overflow(form: FixedPoint) -> tuple[list[Callable[[Values], object]], int]:
    """Instructions, and what they add to the largest integer (none: they clip)."""
    low, high = form.min_word, form.max_word
    if form.overflow in (Overflow.SAT, Overflow.SAT_SYM):
        return [_clip(low, high)], 0
    if form.overflow is Overflow.WRAP and form.width <= 60:
        span = 1 << form.width

        def wrap(x: Values) -> None:
            kind = x.dtype.type
            if x.size and low <= x.min() and x.max() <= high:  # to look is a fifth of the work
                return
            x -= np.floor((x - kind(low)) * kind(1.0 / span)) * kind(span)

        return [wrap], 2 * span
    raise NoFloatsError
