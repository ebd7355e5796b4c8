"""Random formats and weights: near what the values need, and now and then far from it."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.nodes import IntArray
from toolchain.network.ranges import Range

#: What the hardware library can do exactly; the others are refused by name.
ROUNDINGS = (Rounding.TRN, Rounding.RND, Rounding.RND_CONV)
OVERFLOWS = (Overflow.WRAP, Overflow.SAT, Overflow.SAT_SYM)
#: Share of formats whose integer bits have nothing to do with the values.
WILD = 0.03


def modes(rng: np.random.Generator) -> tuple[Rounding, Overflow]:
    """Saturation three times in four: that is what models ask for."""
    rounding = ROUNDINGS[int(rng.integers(len(ROUNDINGS)))]
    overflow = OVERFLOWS[int(rng.choice(len(OVERFLOWS), p=[0.25, 0.65, 0.1]))]
    return rounding, overflow


def input_format(rng: np.random.Generator) -> FixedPoint:
    """2 to 12 bits, integer bits from -2 to beyond the width."""
    width = int(rng.integers(2, 13))
    signed = bool(rng.random() < 0.8)
    integer = int(rng.integers(-2, width + 2)) if rng.random() < WILD else int(rng.integers(0, min(width, 4)))
    return FixedPoint(signed, integer, width - integer - int(signed), *modes(rng))


def result_format(rng: np.random.Generator, values: Range, widest: int = 16) -> FixedPoint:
    """A format of 2 to ``widest`` bits for ``values``: it holds most of them, or clips, wraps and rounds a few."""
    width = int(rng.integers(2, widest + 1))
    signed = bool(rng.random() < (0.95 if values.lowest < 0 else 0.2))
    needed = max(abs(values.lowest), abs(values.highest)).bit_length() - values.fractional_bits
    if rng.random() < WILD:
        integer = int(rng.integers(-4, width + 4))
    else:
        integer = needed + int(rng.choice([-3, -2, -1, -1, 0, 0, 1]))
    integer = int(np.clip(integer, -20, 24))
    return FixedPoint(signed, integer, width - int(signed) - integer, *modes(rng))


def kernel_format(rng: np.random.Generator, narrow: bool = False) -> FixedPoint:
    """Signed, 2 to 16 bits (8 at most where ``narrow``); usually below one, sometimes on a grid far from it."""
    width = int(rng.integers(2, 9 if narrow else 17))
    integer = int(rng.integers(-3, width + 2)) if rng.random() < WILD else int(rng.integers(0, min(width, 3)))
    return FixedPoint(True, integer, width - 1 - integer)


def pruned_words(rng: np.random.Generator, shape: tuple[int, ...], form: FixedPoint) -> IntArray:
    """Words of ``form`` with a random share of zeros; now and then all, none, or only the extremes."""
    words = rng.integers(form.min_word, form.max_word + 1, shape)
    kind = rng.random()
    if kind < 0.02:
        return np.zeros(shape, dtype=np.int64)
    if kind < 0.07:
        words = rng.choice([form.min_word, form.max_word], shape)
    sparsity = float(rng.choice([0.0, 0.25, 0.5, 0.75, 0.9]))
    return np.asarray(words * (rng.random(shape) >= sparsity), dtype=np.int64)
