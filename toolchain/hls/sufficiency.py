"""Whether the format that hls4ml chose for a node gives the same values as the network's, proven from its ranges."""

from __future__ import annotations

from toolchain.fixed_point import FixedPoint, Overflow
from toolchain.network.ranges import Range


def find_shortfall(exact: Range, asked: FixedPoint, found: FixedPoint) -> str:
    """Why ``found`` may change a value that ``asked`` does not, or ``""`` when it provably never does.

    ``exact`` bounds the values before either format is applied. hls4ml may leave out bits that no value uses; it may
    not round or clip otherwise than asked.
    """
    rounds = exact.fractional_bits > asked.fractional_bits
    if rounds and (found.fractional_bits != asked.fractional_bits or found.rounding is not asked.rounding):
        return "rounds otherwise"
    wide = FixedPoint(True, 4096, asked.fractional_bits, asked.rounding, Overflow.WRAP)
    rounded = exact.through(wide)
    too_high, too_low = rounded.highest > asked.max_word, rounded.lowest < asked.min_word
    if not too_high and not too_low:
        return "" if rounded.fits(found) else "does not hold every value"
    if asked.overflow is Overflow.WRAP:
        same = found.overflow is Overflow.WRAP and found.same_grid(asked)
        return "" if same else "wraps elsewhere"
    if found.overflow is not asked.overflow:
        return "treats overflow otherwise"
    # Saturation: the bound that values reach must be the same; the other one must only be far enough.
    shift = found.fractional_bits - asked.fractional_bits
    if shift < 0:
        return "does not hold every value"
    high, low = asked.max_word << shift, asked.min_word << shift
    if found.max_word != high if too_high else found.max_word < rounded.highest << shift:
        return "clips at another value"
    if found.min_word != low if too_low else found.min_word > rounded.lowest << shift:
        return "clips at another value"
    return ""
