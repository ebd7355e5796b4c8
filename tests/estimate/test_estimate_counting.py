"""Counts from the weights: against brute force, and against what was counted for published designs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.estimate.counting import count
from toolchain.network.constant_products import csd_digits

matrices = arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-600, 600))


def slow_csd(value: int) -> int:
    """Non-zero digits by the textbook recoding: an odd number gets +1 or -1 so that the next digit is 0."""
    digits = 0
    while value:
        if value % 2:
            digit = 2 - value % 4
            value -= digit
            digits += 1
        value //= 2
    return digits


@given(st.integers(-(2**30), 2**30))
def test_csd_digits(value: int) -> None:
    assert csd_digits(np.array([value]))[0] == slow_csd(value)


@given(matrices)
def test_counts_are_those_of_brute_force(weights: np.ndarray) -> None:
    found = count(weights)
    rows = weights.tolist()
    assert found.multipliers == sum(len({w for w in row if slow_csd(w) >= 3}) for row in rows)
    assert found.adders == sum(len({w for w in row if slow_csd(w) == 2}) for row in rows)
    assert found.nonzeros == sum(w != 0 for row in rows for w in row)
    assert found.negatives == sum(w < 0 for row in rows for w in row)
    assert found.digits == sum(slow_csd(w) for row in rows for w in row)
    assert found.zeros == weights.size - found.nonzeros
    assert sum(number for _, number in found.multiplier_widths) == found.multipliers


@settings(max_examples=60)
@given(matrices, st.data())
def test_zeroing_a_weight_never_adds_a_multiplier(weights: np.ndarray, data: st.DataObject) -> None:
    place = tuple(data.draw(st.integers(0, n - 1)) for n in weights.shape)
    fewer = weights.copy()
    fewer[place] = 0
    assert count(fewer).multipliers <= count(weights).multipliers
    assert count(fewer).nonzeros <= count(weights).nonzeros


def test_published_weights_are_counted_the_same(shared: Path) -> None:
    import pandas as pd

    table = pd.read_csv(shared / "groundtruth" / "weights.csv")
    with np.load(shared / "groundtruth" / "weights.npz") as stored:
        for row in table.drop_duplicates("key").iloc[::12].itertuples():
            found = count(stored[row.key].astype(np.int64))
            assert (found.nonzeros, found.negatives) == (row.nnz, row.n_neg), row.key
            assert (found.multipliers, found.adders) == (row.mult_distinct_signed, row.adders_csd2), row.key
            assert found.digits == row.csd_digits, row.key
