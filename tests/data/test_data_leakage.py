"""Nothing of the training part depends on later data, and no window reaches into another part's labels."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_cases import candle_table, direction_section, forecast_section, price_table, run
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.data import direction, features
from toolchain.project import DataSection
from toolchain.results import DataResult, FloatArray, Part, Samples

ROWS = 240
seeds = st.integers(0, 10_000)


def prepared(table: pd.DataFrame, section: DataSection) -> tuple[DataResult, Samples]:
    with tempfile.TemporaryDirectory() as folder:
        return run(table, section, Path(folder))


def equal(a: Part, b: Part) -> bool:
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in ("x", "y", "reference", "time"))


def with_other_future(table: pd.DataFrame, other: pd.DataFrame, first: int) -> pd.DataFrame:
    """``table`` with the prices and volumes of ``other`` from row ``first`` on, times kept."""
    changed = table.copy()
    names = [name for name in table.columns if name not in ("Date", "start_ms")]
    changed.loc[first:, names] = other.loc[first:, names] * 3.0
    return changed


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_forecast_training_does_not_see_the_rest(seed: int) -> None:
    section, table = forecast_section(), price_table(ROWS, seed)
    result, samples = prepared(table, section)
    border = len(samples.train.x) + section.look_back  # rows the training samples and labels use
    other, changed = prepared(with_other_future(table, price_table(ROWS, seed + 1), border), section)
    assert equal(samples.train, changed.train)
    assert (result.y_scale, result.y_offset) == (other.y_scale, other.y_offset)
    assert result.sha256 != other.sha256
    earlier = with_other_future(table, price_table(ROWS, seed + 1), border - 1)
    assert not equal(samples.train, prepared(earlier, section)[1].train)  # one row earlier it is training data


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_direction_training_does_not_see_the_rest(seed: int) -> None:
    section, table = direction_section(), candle_table(ROWS, seed)
    _, samples = prepared(table, section)
    border = features.first_row(5) + section.look_back - 1 + len(samples.train.x) + 1
    _, changed = prepared(with_other_future(table, candle_table(ROWS, seed + 1), border), section)
    assert equal(samples.train, changed.train)
    assert not equal(samples.test, changed.test)


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_validation_does_not_see_the_test_part(seed: int) -> None:
    for section, table, other in (
        (forecast_section(), price_table(ROWS, seed), price_table(ROWS, seed + 1)),
        (direction_section(), candle_table(ROWS, seed), candle_table(ROWS, seed + 1)),
    ):
        _, samples = prepared(table, section)
        first = len(table) - len(samples.test.x)
        _, changed = prepared(with_other_future(table, other, first), section)
        assert equal(samples.train, changed.train)
        assert equal(samples.validation, changed.validation)


def test_the_property_finds_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap of the source text, volume over the whole series' mean, is seen by the tests above."""

    def leaking(values: FloatArray, window: int) -> FloatArray:
        return np.full_like(values, values.mean())

    monkeypatch.setattr(features, "trailing_mean", leaking)
    with pytest.raises(AssertionError):
        test_direction_training_does_not_see_the_rest.hypothesis.inner_test(0)  # type: ignore[attr-defined]


def test_the_property_finds_a_scaler_fitted_on_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = direction._fit
    kept: list[FloatArray] = []

    def leaking(rows: FloatArray, where: str) -> tuple[FloatArray, FloatArray]:
        whole = rows.base if rows.base is not None else rows
        kept.append(whole)
        return fit(whole, where)

    monkeypatch.setattr(direction, "_fit", leaking)
    with pytest.raises(AssertionError):
        test_direction_training_does_not_see_the_rest.hypothesis.inner_test(0)  # type: ignore[attr-defined]
    assert kept


@pytest.mark.parametrize("embargo", [4, 9])
def test_no_price_of_a_label_stands_in_a_window_of_the_next_part(embargo: int, tmp_path: Path) -> None:
    section, table = forecast_section(embargo=embargo), price_table(ROWS)
    result, samples = run(table, section, tmp_path)
    price = table["Adj Close"].to_numpy()
    scaled = (price - result.y_offset) / result.y_scale
    rows = {value: row for row, value in enumerate(scaled)}
    for before, after in ((samples.train, samples.validation), (samples.validation, samples.test)):
        last_label = rows[before.y[-1, 0]]
        first_input = rows[after.x[0, 0, 0]]
        assert first_input - last_label == embargo - section.look_back + 1
        assert first_input > last_label
