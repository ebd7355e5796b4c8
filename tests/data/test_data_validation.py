"""Each check of values refuses the table that breaks it, naming column and row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from data_cases import candle_table

from toolchain.data.validation import candles, numbers, prices
from toolchain.errors import DataSourceError


def column(*values: object) -> pd.DataFrame:
    return pd.DataFrame({"close": list(values)})


def test_numbers_written_as_text_are_numbers() -> None:
    assert numbers(column("1.5", "2e3"), "close", "p.csv").tolist() == [1.5, 2000.0]


@pytest.mark.parametrize("bad", ["1,234.5", "", "n/a", np.nan, np.inf, None])
def test_the_first_cell_that_is_no_number_is_named(bad: object) -> None:
    with pytest.raises(DataSourceError, match=r"p.csv: column 'close': 1 of 3 values are not numbers; first: row 2"):
        numbers(column("1.5", bad, "2"), "close", "p.csv")


def test_booleans_are_no_numbers() -> None:
    with pytest.raises(DataSourceError, match="True and False"):
        numbers(column(True, False), "close", "p.csv")


def test_a_missing_column_shows_the_nearest() -> None:
    with pytest.raises(DataSourceError, match="no column 'Close'") as caught:
        numbers(column(1.0), "Close", "p.csv")
    assert caught.value.hint == "perhaps you meant 'close'"


def test_prices_are_positive_and_move() -> None:
    assert prices(column(1.0, 2.0), "close", "p.csv").tolist() == [1.0, 2.0]
    with pytest.raises(DataSourceError, match="row 2: 0 is not a price"):
        prices(column(1.0, 0.0), "close", "p.csv")
    with pytest.raises(DataSourceError, match="the price is 3 in every row"):
        prices(column(3.0, 3.0), "close", "p.csv")


@pytest.mark.parametrize(
    ("name", "value"),
    [("high", 1.0), ("low", 1e6), ("low", 0.0), ("low", -1.0), ("volume", -1.0), ("open", 1e6), ("close", 1e-3)],
)
def test_a_row_that_is_no_candle_is_named(name: str, value: float) -> None:
    table = candle_table(30)
    assert set(candles(table, "c.csv")) == {"open", "high", "low", "close", "volume"}
    table.loc[16, name] = value
    with pytest.raises(DataSourceError, match=r"c.csv: 1 rows are not candles; first: row 17: open .*, volume"):
        candles(table, "c.csv")


def test_a_candle_without_trades_is_a_candle() -> None:
    table = candle_table(30)
    table.loc[16, ["open", "high", "low", "close"]] = 100.0
    table.loc[16, "volume"] = 0.0
    candles(table, "c.csv")
