"""How many zeros, and which."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.prune.criteria import norm
from toolchain.prune.masks import exact_mask, wanted_zeros


@given(st.integers(1, 5000), st.integers(0, 99))
def test_zeros_are_the_share_rounded_up_but_one_weight_stays(weights: int, percent: int) -> None:
    exact = math.ceil(Fraction(percent, 100) * weights)
    assert wanted_zeros(weights, percent / 100) == min(exact, weights - 1)


@pytest.mark.parametrize(("weights", "zeros"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (8, 6), (120, 90)])
def test_three_quarters(weights: int, zeros: int) -> None:
    assert wanted_zeros(weights, 0.75) == zeros


@given(arrays(np.float64, (4, 3), elements=st.floats(-2, 2, width=16)), st.floats(0, 0.99))
def test_the_mask_drops_the_smallest(kernel: np.ndarray, sparsity: float) -> None:
    mask = exact_mask(kernel, sparsity)
    zeros = (kernel * mask == 0).sum()
    assert zeros == max(wanted_zeros(12, sparsity), (kernel == 0).sum())
    dropped, kept = np.abs(kernel[~mask]), np.abs(kernel[mask])
    assert not len(dropped) or not len(kept) or dropped.max() <= kept.min()


def test_of_equal_weights_the_first_go() -> None:
    assert exact_mask(np.ones(4), 0.5).tolist() == [False, False, True, True]


def test_norms_are_over_everything_but_the_units() -> None:
    kernel = np.array([[[3.0, 1.0]], [[-4.0, 1.0]]])
    assert norm.importance(kernel, "l1").tolist() == [7, 2]
    assert norm.importance(kernel, "l2").tolist() == [5, math.sqrt(2)]
