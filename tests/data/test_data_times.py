"""Times: every accepted form gives the same instants, and nothing is guessed."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from toolchain.data.times import check_regular, read_times, show
from toolchain.errors import DataSourceError

DAYS = pd.date_range("2024-01-30", periods=40, freq="D")
EXPECTED = DAYS.to_numpy().astype("datetime64[ns]").astype(np.int64)


def read(values: object, name: str = "date") -> np.ndarray:
    return read_times(pd.DataFrame({name: values}), "", "prices.csv")


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_numbers_of_every_unit_are_the_same_instants(unit: int) -> None:
    assert (read(EXPECTED // unit) == EXPECTED).all()


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%SZ", "%m/%d/%Y", "%d/%m/%Y"])
def test_texts_of_every_form_are_the_same_instants(form: str) -> None:
    assert (read(DAYS.strftime(form)) == EXPECTED).all()


def test_a_zone_is_respected() -> None:
    assert read(["2024-01-30T02:00:00+02:00", "2024-01-31T00:00:00Z"]).tolist() == EXPECTED[:2].tolist()


def test_whole_floats_are_read_as_numbers() -> None:
    assert (read((EXPECTED // 10**9).astype(float)) == EXPECTED).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([20240130, 20240131], 1),  # a date written as a number is no time since 1970
        ([202401300930, 202401300935], 1),
        ([43831.0, 43832.0], 1),  # days of a spreadsheet
        ([1706572800, 1706659200000], 2),  # seconds, then milliseconds
        ([1706572800.5, 1706659200.5], 1),
        ([1706572800.0, np.nan], 2),
        (["2024-01-30", "yesterday"], 2),
        (["2024-01-30", None], 2),
        ([10**20, 10**20 + 1], 1),
        ([True, False], 1),
        (["09:30", "09:35"], 1),
        (["01/30/2024", "31/01/2024"], 2),  # no order of day and month fits both
        (["1600-01-30", "1600-01-31"], 1),
    ],
)
def test_what_is_no_time_is_refused_with_its_row(values: list[object], row: int) -> None:
    with pytest.raises(DataSourceError, match=rf"prices.csv: column 'date': row {row}:") as caught:
        read(values)
    assert caught.value.exit_code == 7


def test_dates_that_fit_both_orders_are_refused() -> None:
    with pytest.raises(DataSourceError, match="may be month/day or day/month") as caught:
        read(["01/02/2024", "02/03/2024"])
    assert "year-month-day" in caught.value.hint


def test_order_of_day_and_month_is_decided_by_the_rows_being_in_order() -> None:
    texts = ["01/12/2023", "02/01/2024"]  # 12 January, 1 February; or 1 December, 2 January: only one can be wrong
    with pytest.raises(DataSourceError, match="may be"):
        read(texts)
    assert read(["10/02/2024", "01/03/2024"]).tolist() == [
        pd.Timestamp("2024-02-10").value,
        pd.Timestamp("2024-03-01").value,
    ]


def test_newest_first_is_refused_with_the_hint_to_reverse() -> None:
    with pytest.raises(DataSourceError, match="newest row comes first") as caught:
        read(EXPECTED[::-1])
    assert "reverse" in caught.value.hint


@pytest.mark.parametrize(("swap", "words"), [((5, 5), "the same time as row 6"), ((3, 6), "an earlier time than row")])
def test_out_of_order_and_doubled_rows_are_named(swap: tuple[int, int], words: str) -> None:
    stamps = EXPECTED.copy()
    if swap[0] == swap[1]:
        stamps[swap[0] + 1] = stamps[swap[0]]
    else:
        stamps[list(swap)] = stamps[list(reversed(swap))]
    with pytest.raises(DataSourceError, match=rf"row \d+ has {words}"):
        read(stamps)


def test_several_time_columns_need_a_choice() -> None:
    table = pd.DataFrame({"date": DAYS.strftime("%Y-%m-%d"), "timestamp": EXPECTED // 10**9})
    with pytest.raises(DataSourceError, match="several time columns: date, timestamp"):
        read_times(table, "", "prices.csv")
    assert (read_times(table, "timestamp", "prices.csv") == EXPECTED).all()
    with pytest.raises(DataSourceError, match="no column 'dates'") as caught:
        read_times(table, "dates", "prices.csv")
    assert "'date'" in caught.value.hint


def test_no_time_column_is_refused() -> None:
    with pytest.raises(DataSourceError, match="no time column"):
        read(EXPECTED, "when")


def test_gaps_are_named_with_the_longest_whole_piece() -> None:
    kept = np.delete(np.arange(20), [4, 5, 15])
    stamps = EXPECTED[0] + kept * 300 * 10**9
    with pytest.raises(DataSourceError) as caught:
        check_regular(stamps, "candles.csv")
    assert "2 gaps; first: after row 4 (2024-01-30T00:15:00+00:00) the next candle is 900 s later, not 300 s" in str(
        caught.value
    )
    found = re.search(r"rows (\d+) to (\d+)", caught.value.hint)
    assert found is not None
    first, last = int(found[1]), int(found[2])
    assert (first, last) == (5, 13)
    check_regular(stamps[first - 1 : last], "candles.csv")


def test_times_are_shown_as_dates_when_they_are() -> None:
    assert show(int(EXPECTED[0])) == "2024-01-30"
    assert show(int(EXPECTED[0]) + 60 * 10**9) == "2024-01-30T00:01:00+00:00"
