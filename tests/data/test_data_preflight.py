"""What the section and a header show is found before anything is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_cases import candle_table, direction_section, forecast_section, price_table

from toolchain.data.preflight import check
from toolchain.project import DataSection


def texts(section: DataSection, folder: Path) -> list[str]:
    return [problem.text() for problem in check(section, folder)]


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    candle_table().to_csv(tmp_path / "candles.csv", index=False)
    price_table().to_csv(tmp_path / "prices.csv.gz", index=False)
    np.savez(tmp_path / "a.npz", x_train=1, y_train=1, x_test=1, y_test=1)
    assert texts(DataSection(), tmp_path) == []
    assert texts(direction_section(), tmp_path) == []
    assert texts(direction_section(path=str(tmp_path / "candles.csv")), Path("elsewhere")) == []
    assert texts(forecast_section(path="prices.csv.gz"), tmp_path) == []
    assert texts(DataSection(source="npz", task="regression", path="a.npz"), tmp_path) == []


def test_all_missing_columns_at_once(tmp_path: Path) -> None:
    candle_table().drop(columns=["start_ms", "high"]).rename(columns={"volume": "Volume"}).to_csv(
        tmp_path / "candles.csv", index=False
    )
    found = texts(direction_section(), tmp_path)
    assert len(found) == 3
    assert "has no column 'high'" in found[0]
    assert "perhaps you meant 'Volume'" in found[1]
    assert "has no time column" in found[2]
    assert all(problem.exit_code == 7 for problem in check(direction_section(), tmp_path))


@pytest.mark.parametrize(
    ("section", "words", "exit_code"),
    [
        (direction_section(path=""), "[data] path: is empty", 2),
        (direction_section(source="sp500"), "'direction' is not possible with source = 'sp500'", 2),
        (direction_section(path="absent.csv"), "absent.csv: no such file", 7),
        (forecast_section(time_column="day"), "has no column 'day'", 7),
        (forecast_section(price_column="Adj close"), "perhaps you meant 'Adj Close'", 7),
        (DataSection(source="npz", task="regression", path="prices.csv"), "is not an .npz file", 7),
        (DataSection(source="npz", task="regression", path="a.npz"), "array 'x_val' is unknown", 7),
    ],
)
def test_each_problem_with_its_exit_code(section: DataSection, words: str, exit_code: int, tmp_path: Path) -> None:
    price_table().to_csv(tmp_path / "prices.csv", index=False)
    np.savez(tmp_path / "a.npz", x_train=1, y_train=1, x_test=1, y_test=1, x_val=1)
    found = check(section, tmp_path)
    assert len(found) == 1
    assert words in found[0].text()
    assert found[0].exit_code == exit_code
