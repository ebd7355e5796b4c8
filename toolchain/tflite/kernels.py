"""The arithmetic of TFLite's int8 kernels, and how a rounding mode is expressed in it.

A linear operator sums ``(q - zero_point) * weight`` and the bias in int32 and multiplies by ``2**-shift``. How that
product is rounded depends on the kernel (measured with TensorFlow 2.21, ``tests/tflite/test_tflite_kernels.py``):

- reference FULLY_CONNECTED: once, ties away from zero;
- reference CONV_2D, older versions and TFLite Micro: twice. The sum is halved, ties upward, then shifted right by
  ``shift - 1``, ties away from zero (``MultiplyByQuantizedMultiplier`` with the multiplier 1/2);
- XNNPACK, which users run by default: once, ties to even; that is RND_CONV, the rounding of QKeras, exactly.

DEPTHWISE_CONV_2D rounds as CONV_2D does. ADD and SUB sum exactly and round once, ties away from zero (XNNPACK: ties
upward); MUL rounds as CONV_2D. With int16 activations linear operators sum in int64 and round once, ties upward
(reference FULLY_CONNECTED of TensorFlow 2.21: away from zero).

They all agree where the sum is even and no tie can occur. So weights and bias are scaled by 2 or 4 wherever int8 has
the room (``spare_bits``), and the bias carries an offset that moves what would be a tie to the wanted side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolchain.fixed_point import Rounding, Words

INT32_MAX = 2**31 - 1
#: How the reference kernel of one operator rounds: once with ties away from zero, once with ties upward, or twice.
Habit = Literal["away", "up", "twice"]


@dataclass(frozen=True, slots=True)
class Tie:
    """How one channel's rounding is expressed: ``offset`` is added to the sum.

    ``exact``: the reference kernels then round every sum as the network does; if not, they may be one word apart.
    ``everywhere``: so does every other kernel.
    """

    offset: int
    exact: bool
    everywhere: bool


@dataclass(frozen=True, slots=True)
class Sum:
    """What is known of a channel's sums: each is a multiple of ``2**spare_bits``; ``non_negative``: negative results
    are cut to zero; ``habit``: how the reference kernel rounds."""

    spare_bits: int
    non_negative: bool
    habit: Habit


def express(rounding: Rounding, shift: int, total: Sum) -> Tie:
    """How ``sum * 2**-shift`` is rounded as ``rounding`` asks."""
    if shift <= total.spare_bits:  # every sum is a whole number of results
        return Tie(0, True, True)
    mode = _EQUAL_ABOVE_ZERO.get(rounding, rounding) if total.non_negative else rounding
    half, half_step = 1 << (shift - 1), (1 << total.spare_bits) // 2
    offsets = {Rounding.RND: half_step, Rounding.RND_MIN_INF: -half_step, Rounding.TRN: half_step - half}
    if total.spare_bits >= 2 and mode in offsets:
        return Tie(offsets[mode], True, True)
    if mode is Rounding.TRN:
        return Tie(-half, False, False)
    if total.habit == "up":
        return Tie(0, mode is Rounding.RND, False)
    away = rounding is Rounding.RND_INF or (mode is Rounding.RND and total.non_negative)
    return Tie(0, away and (total.spare_bits >= 1 or total.habit == "away"), False)


def keeps_ties(rounding: Rounding, shift: int, total: Sum, default_up: bool) -> tuple[bool, bool]:
    """Whether an operator without a bias rounds as ``rounding`` asks: the reference kernel, and every kernel.

    ``default_up``: XNNPACK rounds ties upward here, else to even.
    """
    if shift <= total.spare_bits:
        return True, True
    exact = express(rounding, shift, Sum(0, total.non_negative, total.habit)).exact
    upward = rounding is Rounding.RND or (total.non_negative and rounding is Rounding.RND_INF)
    return exact, exact and default_up and upward


_EQUAL_ABOVE_ZERO = {
    Rounding.RND_INF: Rounding.RND,
    Rounding.RND_ZERO: Rounding.RND_MIN_INF,
    Rounding.TRN_ZERO: Rounding.TRN,
}


def scale_down_once(total: Words, shift: int) -> Words:
    """``total * 2**-shift``, rounded once, ties away from zero: int64 words of int32 sums in, any shape."""
    if shift <= 0:
        return np.asarray(total << -shift)
    magnitude = (np.abs(total) + (1 << (shift - 1))) >> shift
    return np.asarray(np.where(total < 0, -magnitude, magnitude))


def scale_down_up(total: Words, shift: int) -> Words:
    """``total * 2**-shift``, rounded once, ties towards plus infinity."""
    if shift <= 0:
        return np.asarray(total << -shift)
    return np.asarray((total + (1 << (shift - 1))) >> shift)


def scale_down_twice(total: Words, shift: int) -> Words:
    """``total * 2**-shift``, rounded after a halving and again after the rest of the shift."""
    if shift <= 0:
        return np.asarray(total << -shift)
    return scale_down_once((total + 1) >> 1, shift - 1)


def scale_down_to_even(total: Words, shift: int) -> Words:
    """``total * 2**-shift``, rounded once, ties to even, as XNNPACK does for sums below 2**24."""
    return np.rint(np.ldexp(total.astype(np.float64), -shift)).astype(np.int64)


def largest_sum(shift: int, bits: int) -> int:
    """The largest magnitude of a sum that the kernels' int32 steps can take (int16 activations: 48-bit steps)."""
    if bits == 16:
        return (1 << 47) - 1 if shift >= 0 else ((1 << 47) - 1) >> -shift
    return INT32_MAX >> max(1 - shift, 0)
