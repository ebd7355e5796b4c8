"""Words of different formats are compared as the numbers they stand for, however far apart the grids."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolchain.fixed_point import FixedPoint
from toolchain.verify.grids import differing

BITS = st.integers(-60, 100)
WORDS = st.integers(-(2**53), 2**53)


@given(WORDS, BITS, WORDS, BITS)
def test_words_differ_exactly_when_their_values_do(left: int, left_bits: int, right: int, right_bits: int) -> None:
    forms = [FixedPoint(True, 60 - bits, bits) for bits in (left_bits, right_bits)]
    wrong = differing(np.array([left]), forms[0], np.array([right]), forms[1])
    values = Fraction(left) / Fraction(2) ** left_bits, Fraction(right) / Fraction(2) ** right_bits
    assert wrong.tolist() == [values[0] != values[1]]


@given(st.integers(-(2**30), 2**30), st.integers(-20, 20), st.integers(0, 60))
def test_the_same_value_on_another_grid_is_equal(word: int, bits: int, finer: int) -> None:
    forms = FixedPoint(True, 60 - bits, bits), FixedPoint(True, 60, bits + finer)
    other = np.array([word << finer], dtype=object)
    assert not differing(np.array([word]), forms[0], other, forms[1]).any()
