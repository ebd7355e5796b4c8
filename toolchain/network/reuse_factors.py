"""The reuse factors that hls4ml takes unchanged under the resource strategy, and what it takes instead of others."""

from __future__ import annotations

import math
from functools import cache


@cache
def legal_reuse_factors(n_in: int, n_out: int) -> tuple[int, ...]:
    """Factors that hls4ml takes for a kernel ``(n_in, n_out)``, ascending: its dense kernel's own three conditions.

    The factor divides ``n_in * n_out``; it is below ``n_in`` or a multiple of it; below ``n_in``, ``n_out`` divides the
    block factor. Others are replaced silently: 913 published designs have such factors after rounding.
    """
    weights = n_in * n_out
    small = (divisor for divisor in range(1, math.isqrt(weights) + 1) if weights % divisor == 0)
    divisors = sorted({factor for divisor in small for factor in (divisor, weights // divisor)})
    return tuple(f for f in divisors if (f % n_in == 0 if f >= n_in else math.ceil(weights / f) % n_out == 0))


def usable_reuse_factors(n_in: int, n_out: int, io_type: str, positions: int) -> list[int]:
    """The legal ones that are computed right too: where a kernel is used at several positions in io_parallel, hls4ml's
    convolutions assert more than it checks, or read beyond their arrays."""
    found = legal_reuse_factors(n_in, n_out)
    if io_type == "io_parallel" and positions > 1:
        return [factor for factor in found if factor <= n_in and n_in % factor == 0]
    return list(found)


def block_reuse_factor(asked: int, n_in: int, n_out: int) -> int:
    """The legal factor nearest to ``asked``; the smaller one when two are equally near."""
    legal = legal_reuse_factors(n_in, n_out)
    return min(legal, key=lambda factor: (abs(factor - asked), factor)) if legal else asked
