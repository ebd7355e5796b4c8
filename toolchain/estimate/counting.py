"""What a layer's constants cost before any price: multipliers, adders and their bits, from the real integer weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.network.constant_products import constant_bits, csd_digits


@dataclass(frozen=True)
class KernelOperands:
    """Widths around a kernel, in bits. ``dropped_bits``: fractional bits of a product that the accumulator lacks;
    ``data_widths``: of each input, where they differ."""

    data_width: int = 16
    accumulator_width: int = 64
    dropped_bits: int = 0
    data_widths: tuple[int, ...] = ()

    @property
    def inputs(self) -> NDArray[np.int64]:
        """Widths of the inputs, to stand before a matrix ``(n_in, n_out)``."""
        return np.array(self.data_widths or (self.data_width,), dtype=np.int64)[:, None]


@dataclass(frozen=True)
class Counts:
    """Counts over one weight matrix ``(n_in, n_out)`` whose weights are constants.

    A weight with no non-zero canonical-signed-digit (CSD) digit is free, one is wiring (a negation when negative), two
    are an adder, three or more a multiplier; equal signed weights on one input share theirs. Sums are balanced
    trees in the order of the inputs, zeros left out; an adder has the bits of its wider operand.
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
    tree_adders: int = 0  # that sum the products
    tree_bits: int = 0  # of those adders
    product_adders: int = 0  # that form two-digit products and negations
    product_bits: int = 0  # of those adders
    level_bits: tuple[int, ...] = ()  # words alive: shared products, then after each level of the trees
    full_adders: int = 0  # of those that sum, whose operands have the accumulator's width already
    negated_pairs: int = 0  # adders that negate -(2**a + 2**b)
    negated_bits: int = 0
    multiplied: int = 0  # weights of three digits and more
    paired: int = 0  # weights of two digits
    selection_bits: int = 0  # of products by one bit: a weight or nothing

    @property
    def zeros(self) -> int:
        return self.n_in * self.n_out - self.nonzeros

    def bits_at(self, level: float) -> float:
        """Bits alive after ``level`` levels of adders, interpolated."""
        return float(np.interp(level, np.arange(len(self.level_bits)), self.level_bits)) if self.level_bits else 0.0


def count(weights: NDArray[np.int64], operands: KernelOperands | None = None) -> Counts:
    """Counts of an integer matrix ``(n_in, n_out)``; ``operands`` decide the bits, not the numbers."""
    operands = operands or KernelOperands()
    if operands.data_width == 1:
        return _selections(np.asarray(weights, dtype=np.int64), operands)
    ordered = np.sort(np.asarray(weights, dtype=np.int64), axis=1)
    first = np.ones(ordered.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    digits = csd_digits(ordered)
    widths = _product_widths(ordered, digits, operands)
    real, pairs = first & (digits >= 3), first & (digits == 2)
    bits, number = np.unique(constant_bits(ordered[real]), return_counts=True)
    product_adders, product_bits, negated_pairs, negated_bits = _product_adders(ordered, digits, first, operands)
    trees = _trees(_product_widths(weights, csd_digits(weights), operands), operands, np.asarray(weights))
    return Counts(
        n_in=weights.shape[0], n_out=weights.shape[1], nonzeros=int(np.count_nonzero(weights)),
        negatives=int((weights < 0).sum()), multipliers=int(real.sum()), adders=int(pairs.sum()),
        digits=int(digits.sum()), fan_in=int((weights != 0).sum(axis=0).max(initial=0)),
        multiplier_widths=tuple(zip(bits.tolist(), number.tolist(), strict=True)), tree_adders=trees.adders,
        tree_bits=trees.bits, product_adders=product_adders, product_bits=product_bits,
        level_bits=(int(widths[first].sum()), *trees.levels), full_adders=trees.full, negated_pairs=negated_pairs,
        negated_bits=negated_bits, multiplied=int((digits >= 3).sum()),
        paired=int((digits == 2).sum()),
    )  # fmt: skip


def _selections(weights: NDArray[np.int64], operands: KernelOperands) -> Counts:
    """Data of one bit selects each weight or nothing: no multipliers; the words have the bits of the weights' type."""
    bits = int(_length(weights).max(initial=0)) + 1
    width = min(bits + 1, operands.accumulator_width)
    ordered = np.sort(weights, axis=1)
    first = np.ones(ordered.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    selected = int((first & (ordered != 0)).sum())
    trees = _trees(np.where(weights != 0, width, 0), operands, np.asarray(weights))
    return Counts(
        n_in=weights.shape[0], n_out=weights.shape[1], nonzeros=int(np.count_nonzero(weights)),
        negatives=int((weights < 0).sum()), multipliers=0, adders=0, digits=int(csd_digits(weights).sum()),
        fan_in=int((weights != 0).sum(axis=0).max(initial=0)), multiplier_widths=(), tree_adders=trees.adders,
        tree_bits=trees.bits, level_bits=(selected * width, *trees.levels), full_adders=trees.full,
        selection_bits=selected * bits,
    )  # fmt: skip


def _length(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of the magnitude; 0 for 0."""
    length: NDArray[np.int64] = np.ceil(np.log2(np.abs(values) + 1.0)).astype(np.int64)
    return length


def _product_widths(
    weights: NDArray[np.int64], digits: NDArray[np.int64], operands: KernelOperands
) -> NDArray[np.int64]:
    """Bits of each product as the accumulator takes it; 0 for weight 0. A power of two adds no bit."""
    grown = operands.inputs + _length(weights) - (digits == 1) - operands.dropped_bits
    return np.where(weights != 0, np.clip(grown, 1, operands.accumulator_width), 0)


def _product_adders(
    ordered: NDArray[np.int64], digits: NDArray[np.int64], first: NDArray[np.bool_], operands: KernelOperands
) -> tuple[int, int, int, int]:
    """(adders, their bits) of two-digit products and of negated powers of two, shared on each input; of those that
    negate a pair.

    ``-(2**a + 2**b)`` needs a negation as well; ``2**a - 2**b`` and its negative are one subtraction (so is -3: 1 - 4).
    """
    pair = first & (digits == 2)
    odd = np.abs(ordered) // np.maximum(np.abs(ordered) & -np.abs(ordered), 1)
    length = _length(odd)
    both = (odd == (1 << np.maximum(length - 1, 0)) + 1) & (odd > 3) & (ordered < 0)
    number = np.where(pair, 1 + both, 0)
    negated = first & (digits == 1) & (ordered < 0)
    grown = operands.inputs + length
    bits = int((number * grown).sum()) + int((negated * (operands.inputs + 1)).sum())
    again = pair & both
    return int(number.sum() + negated.sum()), bits, int(again.sum()), int((again * grown).sum())


@dataclass(frozen=True)
class _Trees:
    """``levels``: bits alive after each; ``full``: adders whose operands have the accumulator's width already."""

    levels: tuple[int, ...]
    adders: int
    bits: int
    full: int


def _repeated_sums(widths: NDArray[np.int64], weights: NDArray[np.int64], limit: int) -> tuple[int, int, int]:
    """(adders, their bits, those of full width) of the first level that another output has, too: they are built once.

    The tools add neighbours of a column, zeros left out; where two columns have the same two weights on the same two
    inputs there, they share the sum.
    """
    column, row = np.nonzero(weights.T)
    _, start, number = np.unique(column, return_index=True, return_counts=True)
    place = np.arange(len(column)) - np.repeat(start, number)
    first = np.nonzero((place % 2 == 0) & (place + 1 < np.repeat(number, number)))[0]
    _, value = np.unique(weights, return_inverse=True)
    value = value.reshape(weights.shape)[row, column]
    _, both = np.unique(value[first] * weights.size + value[first + 1], return_inverse=True)
    _, where = np.unique(row[first] * len(weights) + row[first + 1], return_inverse=True)
    found = np.unique(where.reshape(-1) * len(first) + both.reshape(-1), return_index=True)[1]
    again = np.ones(len(first), dtype=bool)
    again[found] = False
    wide = np.maximum(widths[row[first], column[first]], widths[row[first + 1], column[first + 1]])[again]
    return int(again.sum()), int(wide.sum()), int((wide >= limit).sum())


def _packed(widths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each column in its order, what is 0 behind the rest."""
    return np.take_along_axis(widths, np.argsort(widths == 0, axis=0, kind="stable"), axis=0)


def _trees(widths: NDArray[np.int64], operands: KernelOperands, weights: NDArray[np.int64]) -> _Trees:
    """Balanced trees over each column of ``widths``; sums that several outputs have are built once."""
    alive, levels, adders, bits, full = _packed(widths), [], 0, 0, 0
    repeated = _repeated_sums(widths, weights, operands.accumulator_width)
    while len(alive) > 1 and (alive[1] > 0).any():
        if len(alive) % 2:
            alive = np.vstack([alive, np.zeros_like(alive[:1])])
        left, right = alive[0::2], alive[1::2]
        added = right > 0
        adders += int(added.sum())
        wide = np.maximum(left, right)
        bits += int(wide[added].sum())
        full += int((wide[added] >= operands.accumulator_width).sum())
        alive = np.where(added, np.minimum(wide + 1, operands.accumulator_width), wide)
        levels.append(int(alive.sum()))
    return _Trees(tuple(levels), adders - repeated[0], bits - repeated[1], full - repeated[2])
