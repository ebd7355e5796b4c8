"""What a layer's constants cost before any price: multipliers, adders, zeros. All from the real integer weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.network.constant_products import constant_bits, csd_digits


@dataclass(frozen=True)
class Counts:
    """Counts over one weight matrix ``(n_in, n_out)``.

    A weight with no non-zero canonical-signed-digit (CSD) digit is free, one digit is wiring, two are an adder, three
    or more a multiplier; equal signed weights on one input share theirs.
    """

    n_in: int
    n_out: int
    nonzeros: int
    negatives: int
    multipliers: int
    adders: int  # of two-digit weights
    digits: int  # CSD digits of all weights
    fan_in: int  # non-zero weights of the busiest output
    multiplier_widths: tuple[tuple[int, int], ...]  # (bits of the constant, how many)

    @property
    def zeros(self) -> int:
        return self.n_in * self.n_out - self.nonzeros


def count(weights: NDArray[np.int64]) -> Counts:
    """Counts of an integer matrix ``(n_in, n_out)``."""
    digits = csd_digits(weights)
    multipliers, adders = 0, 0
    widths: dict[int, int] = {}
    for row, row_digits in zip(weights, digits, strict=True):
        multipliers += len(real := np.unique(row[row_digits >= 3]))
        adders += len(np.unique(row[row_digits == 2]))
        for bits in constant_bits(real).tolist():
            widths[bits] = widths.get(bits, 0) + 1
    busy = (weights != 0).sum(axis=0)
    return Counts(
        n_in=weights.shape[0], n_out=weights.shape[1], nonzeros=int(np.count_nonzero(weights)),
        negatives=int((weights < 0).sum()), multipliers=multipliers, adders=adders, digits=int(digits.sum()),
        fan_in=int(busy.max(initial=0)), multiplier_widths=tuple(sorted(widths.items())),
    )  # fmt: skip
