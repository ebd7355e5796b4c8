"""The stage from file to samples: shapes, meaning, digests, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_cases import candle_table, direction_section, forecast_section, price_table, run
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data.splits import SMALLEST_PART, split_in_time
from toolchain.data.stage import prepare
from toolchain.errors import DataSourceError, ProjectError
from toolchain.project import DataSection
from toolchain.results import DataResult, Job


def test_forecast_samples_mean_what_they_say(tmp_path: Path) -> None:
    section, table = forecast_section(), price_table()
    result, samples = run(table, section, tmp_path)
    price = table["Adj Close"].to_numpy()
    assert (result.task, result.metric, result.input_shape, result.outputs) == ("regression", "rmse", (4, 1), 1)
    assert result.feature_names == tuple(f"Adj Close[t-{age}]" for age in (3, 2, 1, 0))
    assert samples.train.x.min() == 0.0
    assert samples.train.x.max() <= 1.0
    first = {"train": 0, "validation": 118 + 4, "test": 165 + 4}
    for name, row in first.items():
        part = getattr(samples, name)
        assert result.counts[name] == len(part.x) == len(part.y) == len(part.reference) == len(part.time)
        for i in (0, len(part.x) - 1):
            window = (price[row + i : row + i + 4] - result.y_offset) / result.y_scale
            assert (part.x[i, :, 0] == window).all()
            assert part.y[i, 0] == (price[row + i + 4] - result.y_offset) / result.y_scale
            assert part.reference[i] == window[-1]
            assert part.time[i] == np.datetime64(table["Date"][row + i + 4], "ns").astype(np.int64)
    assert len(samples.test.x) + 169 == 240 - 4
    assert (result.first_test_time, result.last_test_time) == (table["Date"][173], table["Date"][239])


def test_prices_beyond_the_scaler_are_kept_and_noted(tmp_path: Path) -> None:
    table = price_table()
    table["Adj Close"] = np.linspace(100, 200, len(table))
    result, samples = run(table, forecast_section(), tmp_path)
    assert samples.train.y.max() == 1.0
    assert samples.test.x.min() > 1.0
    assert samples.test.y.max() == (200 - result.y_offset) / result.y_scale
    assert any(note.startswith("100.0% of the test part's inputs") and "not clipped" in note for note in result.notes)


def test_the_longest_step_is_noted(tmp_path: Path) -> None:
    table = price_table().drop(index=range(50, 56)).reset_index(drop=True)
    result, _ = run(table, forecast_section(), tmp_path)
    assert any("at most 7 after 2020-02-19" in note for note in result.notes)


def test_direction_samples_mean_what_they_say(tmp_path: Path) -> None:
    section, table = direction_section(), candle_table()
    result, samples = run(table, section, tmp_path)
    close = table["close"].to_numpy()
    assert (result.task, result.metric, result.input_shape, result.outputs) == ("binary", "accuracy", (12,), 1)
    assert result.feature_names[:4] == ("return[t-2]", "volume[t-2]", "range[t-2]", "body[t-2]")
    count = 240 - 6 - 1
    for name, row in {"train": 0, "validation": count // 2 + 3, "test": int(count * 0.7) + 3}.items():
        part = getattr(samples, name)
        for i in (0, len(part.x) - 1):
            now = 6 + row + i  # the first window holds candles 4 … 6: four of history for the volume
            assert part.y[i, 0] == float(close[now + 1] > close[now])
            assert part.reference[i] == float(close[now] > close[now - 1])
            assert part.time[i] == table["start_ms"][now + 1] * 10**6
    assert samples.test.time[-1] == table["start_ms"][239] * 10**6
    # overlapping windows hold the same standardised candles
    assert (samples.train.x[1:, :8] == samples.train.x[:-1, 4:]).all()


def test_direction_inputs_are_standardised_by_the_training_candles(tmp_path: Path) -> None:
    _, samples = run(candle_table(), direction_section(), tmp_path)
    rows = np.concatenate([samples.train.x[0].reshape(3, 4), samples.train.x[1:, 8:]])
    assert np.abs(rows.mean(axis=0)).max() < 1e-12
    assert np.abs(rows.std(axis=0) - 1).max() < 1e-12


def test_rows_of_an_example_by_hand(tmp_path: Path) -> None:
    """One feature of every training sample from its definition alone."""
    table = candle_table()
    section = direction_section(volume_window=1, look_back=1, embargo=1)
    with pytest.raises(DataSourceError, match="constant in the training part: volume"):
        run(table, section, tmp_path)  # over its own mean every volume is 1
    section = direction_section(volume_window=2, look_back=1, embargo=1)
    _, samples = run(table, section, tmp_path)
    close = table["close"].to_numpy()
    returns = ((close[1:] - close[:-1]) / close[:-1])[: len(samples.train.x)]
    expected = (returns - returns.mean()) / returns.std()
    assert np.allclose(samples.train.x[:, 0], expected, rtol=1e-12, atol=0)  # numpy sums a column in another order


def test_same_file_same_digest_whatever_its_name(tmp_path: Path) -> None:
    table = candle_table()
    first, _ = run(table, direction_section(), tmp_path / "a")
    second, _ = run(table, direction_section(path="renamed.csv"), tmp_path / "b")
    assert first.sha256 == second.sha256
    assert (tmp_path / "a" / "samples.npz").read_bytes() == (tmp_path / "b" / "samples.npz").read_bytes()
    assert (first.source, second.source) == ("candles.csv", "renamed.csv")
    table.loc[100, "close"] = table.loc[100, "close"] * (1 + 2**-40)
    third, _ = run(table, direction_section(), tmp_path / "c")
    assert third.sha256 != first.sha256


def test_scale_is_part_of_the_digest(tmp_path: Path) -> None:
    """Prices twice as high give equal samples: only the scale tells them apart."""
    table = price_table()
    first, samples = run(table, forecast_section(), tmp_path / "a")
    table["Adj Close"] *= 2.0
    second, doubled = run(table, forecast_section(), tmp_path / "b")
    assert (samples.train.x == doubled.train.x).all()
    assert second.y_scale == 2 * first.y_scale
    assert first.sha256 != second.sha256


def test_record_survives_json(tmp_path: Path) -> None:
    result, _ = run(candle_table(), direction_section(), tmp_path)
    again = DataResult.model_validate_json(result.model_dump_json()).at(result.folder)
    assert again == result


@given(st.integers(0, 3000), st.floats(0.05, 0.9), st.floats(0.05, 0.9), st.integers(0, 40))
def test_parts_are_in_order_and_apart(samples: int, train: float, validation: float, embargo: int) -> None:
    section = DataSection.model_construct(train_share=train, validation_share=validation, embargo=embargo)
    first, second = int(samples * train), int(samples * (train + validation))
    sizes = (first, second - first - embargo, samples - second - embargo)
    if min(sizes) < SMALLEST_PART:
        with pytest.raises(DataSourceError, match="too few rows"):
            split_in_time(samples, section)
        return
    split = split_in_time(samples, section)
    assert tuple(part.stop - part.start for part in split.parts) == sizes
    assert split.train.start == 0
    assert split.validation.start == split.train.stop + embargo
    assert split.test.start == split.validation.stop + embargo
    assert split.test.stop == samples


@pytest.mark.parametrize("rows", [2, 5, 60])
def test_too_few_rows(rows: int, tmp_path: Path) -> None:
    for table, section in ((candle_table(rows), direction_section()), (price_table(rows), forecast_section())):
        with pytest.raises(DataSourceError, match="too few rows") as caught:
            run(table, section, tmp_path)
        assert str(tmp_path) in caught.value.where


def test_gap_in_candles_is_refused_and_not_in_daily_prices(tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match="1 gaps; first: after row 100 "):
        run(candle_table().drop(index=100), direction_section(), tmp_path)
    run(price_table().drop(index=100), forecast_section(), tmp_path)


def test_a_price_that_stands_still_while_training_is_refused(tmp_path: Path) -> None:
    table = price_table()
    table.loc[:125, "Adj Close"] = 7.0
    with pytest.raises(DataSourceError, match="the price is 7 in every row of the training part"):
        run(table, forecast_section(), tmp_path)


def test_candles_that_only_rise_or_never_move_are_refused(tmp_path: Path) -> None:
    table = candle_table()
    table["close"] = np.linspace(100, 200, len(table)) + np.random.default_rng(0).uniform(0, 0.1, len(table))
    table["open"] = table["close"]
    table["high"], table["low"] = table["close"] + 1, table["close"] - 1
    table.loc[0:20, "open"] += 0.5
    with pytest.raises(DataSourceError, match="every label of the training part is 'up'"):
        run(table, direction_section(), tmp_path)
    table[["open", "close"]] = 100.0
    table["high"], table["low"] = 101.0, 99.0
    with pytest.raises(DataSourceError, match="constant in the training part: return"):
        run(table, direction_section(), tmp_path)


def test_hours_without_volume_are_refused(tmp_path: Path) -> None:
    table = candle_table()
    table.loc[100:110, "volume"] = 0.0
    with pytest.raises(DataSourceError, match="volume is 0 in the whole mean window that ends in row 105"):
        run(table, direction_section(), tmp_path)


@pytest.mark.parametrize(
    ("source", "task"),
    [("sp500", "direction"), ("sp500", "regression"), ("sp500", "classification")],
)
def test_source_and_task_must_go_together(source: str, task: str, tmp_path: Path) -> None:
    section = DataSection(source=source, task=task, path="p.csv")  # type: ignore[arg-type]
    with pytest.raises(ProjectError, match="not possible with source") as caught:
        prepare(section, Job(tmp_path, tmp_path))
    assert caught.value.exit_code == 2


def test_columns_by_other_names(tmp_path: Path) -> None:
    table = price_table().rename(columns={"Date": "when", "Adj Close": "SPY"})
    result, _ = run(table, forecast_section(time_column="when", price_column="SPY"), tmp_path)
    assert result.source == "prices.csv, column 'SPY'"
    assert not list(tmp_path.glob("*.partial"))


def test_chosen_rows_are_all_that_is_read(tmp_path: Path) -> None:
    table = price_table(300)
    part = table.iloc[40:240].reset_index(drop=True)
    _, wanted = run(part, forecast_section(), tmp_path / "part")
    broken = table.copy()
    broken.loc[:39, "Adj Close"] = 1e6  # what is left out does not count
    broken.loc[240:, "Adj Close"] = -1.0
    _, found = run(broken, forecast_section(first_row=40, last_row=240), tmp_path / "whole")
    for name in ("train", "validation", "test"):
        assert np.array_equal(getattr(found, name).x, getattr(wanted, name).x)
        assert np.array_equal(getattr(found, name).time, getattr(wanted, name).time)
    with pytest.raises(DataSourceError, match="has 300 rows; rows 40 to 400 are wanted"):
        run(table, forecast_section(first_row=40, last_row=400), tmp_path / "beyond")
