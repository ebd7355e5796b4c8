"""Folds, paired tests and regimes: against brute force, and against what they must never do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data.splits import split_in_time
from toolchain.errors import ProjectError
from toolchain.project import DataSection
from toolchain.study.folds import folds_of, history_of
from toolchain.study.statistics import mcnemar, mean_in_blocks, mean_over_seeds, terciles


@given(st.integers(1200, 5000), st.integers(1, 6), st.integers(1, 20), st.booleans())
def test_folds_test_every_sample_once_and_end_with_the_table(
    rows: int, folds: int, look_back: int, ready: bool
) -> None:
    kind: dict[str, Any] = {"task": "regression", "target_columns": ("y",)} if ready else {}
    section = DataSection(source="csv", path="x", look_back=look_back, embargo=look_back, **kind)
    found = folds_of(rows, folds, section)
    tested: list[int] = []
    for fold in found:
        samples = fold.last_row - fold.first_row - history_of(section)
        split = split_in_time(samples, section)
        assert fold.first_row >= 0
        test = [fold.first_row + history_of(section) + sample for sample in range(split.test.start, split.test.stop)]
        last_known = fold.first_row + history_of(section) + split.validation.stop - 1
        assert test[0] - last_known > section.embargo
        tested += test
    assert tested == list(range(tested[0], rows))


def test_too_short_a_table_is_refused() -> None:
    with pytest.raises(ProjectError, match="too few for 4 folds"):
        folds_of(120, 4, DataSection())


@given(st.integers(0, 12), st.integers(0, 12))
def test_mcnemar_is_the_binomial_test(b: int, c: int) -> None:
    first = np.array([True] * b + [False] * c + [True, False])
    second = np.array([False] * b + [True] * c + [True, False])
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    found = mcnemar(first, second)
    assert found[:2] == (b, c)
    assert found[2] == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


def test_intervals_hold_what_they_promise() -> None:
    """The 95 % intervals of 400 known means hold the mean in about 95 %."""
    rng = np.random.default_rng(1)
    seeds = [mean_over_seeds(rng.normal(3.0, 1.0, 5)) for _ in range(400)]
    assert 0.92 < np.mean([item.low <= 3 <= item.high for item in seeds]) < 0.98
    blocks = [mean_in_blocks(rng.normal(3.0, 1.0, 400)) for _ in range(200)]
    assert 0.88 < np.mean([item.low <= 3 <= item.high for item in blocks]) < 0.99
    assert math.isinf(mean_over_seeds(np.array([1.0])).high)


def test_regimes_take_their_borders_from_training() -> None:
    training = np.arange(9.0)
    assert terciles(np.array([-5.0, 2.0, 3.0, 5.0, 6.0, 99.0]), training).tolist() == [0, 0, 1, 1, 2, 2]
