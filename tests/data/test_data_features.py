"""Features against the seeds' formulas computed row by row, and their causality."""

from __future__ import annotations

import math

import numpy as np
from data_cases import candle_table
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.data import features

COLUMNS = ("open", "high", "low", "close", "volume")


def candles(rows: int, seed: int) -> dict[str, np.ndarray]:
    table = candle_table(rows, seed)
    return {name: table[name].to_numpy(copy=True) for name in COLUMNS}


@given(st.integers(0, 1000), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_each_feature_follows_its_formula(seed: int, window: int) -> None:
    found = candles(40, seed)
    rows = features.candle_features(found, window)
    start = features.first_row(window)
    assert not np.isnan(rows[start:]).any()
    assert np.isnan(rows[:start]).any(axis=1).all()
    opened, high, low, close, volume = (found[name].tolist() for name in COLUMNS)
    for t in range(start, 40):
        mean = math.fsum(volume[t - window + 1 : t + 1]) / window
        assert rows[t, 0] == (close[t] - close[t - 1]) / close[t - 1]
        assert math.isclose(rows[t, 1], volume[t] / mean, rel_tol=1e-14)  # order of summation
        assert rows[t, 2] == (high[t] - low[t]) / close[t]
        assert rows[t, 3] == (close[t] - opened[t]) / opened[t]


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(14, 39), st.floats(0.5, 2.0))
@settings(max_examples=50, deadline=None)
def test_no_feature_moves_when_the_future_changes(seed: int, window: int, now: int, factor: float) -> None:
    found = candles(40, seed)
    rows = features.candle_features(found, window)
    other = candles(40, seed + 1)
    changed = {name: np.concatenate([values[:now], other[name][now:] * factor]) for name, values in found.items()}
    assert features.candle_features(changed, window)[:now].tobytes() == rows[:now].tobytes()
    shortened = {name: values[:now] for name, values in found.items()}
    assert features.candle_features(shortened, window).tobytes() == rows[:now].tobytes()


def test_labels_look_one_candle_ahead_and_equal_closes_are_not_up() -> None:
    assert features.direction_labels(np.array([1.0, 2.0, 2.0, 1.0, 3.0])).tolist() == [1.0, 0.0, 0.0, 1.0]


def test_windows_end_with_their_row() -> None:
    rows = np.arange(12.0).reshape(6, 2)
    found = features.windows(rows, 3)
    assert found.shape == (4, 3, 2)
    for i in range(4):
        assert (found[i] == rows[i : i + 3]).all()


def test_a_volume_that_never_was_has_no_feature() -> None:
    found = candles(20, 0)
    found["volume"][5:10] = 0.0
    assert np.flatnonzero(np.isnan(features.candle_features(found, 4)[4:, 1])).tolist() == [4, 5]
