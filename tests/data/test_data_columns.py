"""Tables whose columns are inputs and targets, and Parquet files: the same samples as from CSV and npz, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_cases import candle_table, direction_section

from toolchain.data.preflight import check
from toolchain.data.samples import load
from toolchain.data.stage import prepare
from toolchain.errors import DataSourceError, PreflightError
from toolchain.project import DataSection, parse_project
from toolchain.results import DataResult, Job, Samples


def table_of(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "b", "c"])
    table["up"] = (table["a"] > 0).astype(int)
    table["kind"] = np.arange(rows) % 3
    table["date"] = pd.date_range("2020-01-01", periods=rows).strftime("%Y-%m-%d")
    return table


def run(table: pd.DataFrame, folder: Path, name: str = "t.parquet", **changes: Any) -> tuple[DataResult, Samples]:
    if name.endswith(".parquet"):
        table.to_parquet(folder / name)
    else:
        table.to_csv(folder / name, index=False)
    values = {"source": name.split(".")[-1], "path": name, "task": "regression", "target_columns": ("b", "c")}
    section = DataSection(**(values | changes))
    assert not check(section, folder)
    result = prepare(section, Job(folder, folder))
    return result, load(result)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_several_outputs(name: str, tmp_path: Path) -> None:
    table = table_of()
    result, samples = run(table, tmp_path, name)
    assert result.feature_names == ("a", "up", "kind")
    assert result.outputs == 2
    rows = len(samples.train.x)
    assert np.array_equal(samples.train.x, table[["a", "up", "kind"]].to_numpy(float)[:rows])
    assert np.array_equal(samples.test.y, table[["b", "c"]].to_numpy(float)[-len(samples.test.y) :])
    assert result.last_test_time == table["date"].iloc[-1]


def test_classes(tmp_path: Path) -> None:
    assert run(table_of(), tmp_path, task="classification", target_columns=("up",))[0].task == "binary"
    assert run(table_of(), tmp_path, task="classification", target_columns=("kind",))[0].outputs == 3


def test_parquet_candles_are_the_csv_ones(tmp_path: Path) -> None:
    table = candle_table()
    table.to_parquet(tmp_path / "c.parquet")
    table.to_csv(tmp_path / "c.csv", index=False)
    found = []
    for source in ("csv", "parquet"):
        section = direction_section(source=source, path=f"c.{source}")
        found.append(load(prepare(section, Job(tmp_path, tmp_path))))
    for part in ("train", "validation", "test"):
        assert np.array_equal(getattr(found[0], part).x, getattr(found[1], part).x)
        assert np.array_equal(getattr(found[0], part).time, getattr(found[1], part).time)


def test_refused(tmp_path: Path) -> None:
    constant, hole, backwards = table_of(), table_of(), table_of()
    constant["a"] = 1.0
    hole.loc[7, "a"] = np.nan
    backwards.loc[9, "date"] = "2019-01-01"
    for table, words in ((constant, "in every row of the training"), (hole, "row 8"), (backwards, "an earlier time")):
        with pytest.raises(DataSourceError, match=words):
            run(table, tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    bad = DataSection(source="parquet", path="bad.parquet", task="regression", target_columns=("b",))
    assert "not a Parquet file" in check(bad, tmp_path)[0].text()
    table_of().to_parquet(tmp_path / "t.parquet")
    typo = DataSection(source="parquet", path="t.parquet", task="regression", target_columns=("kin",))
    assert "perhaps you meant 'kind'" in check(typo, tmp_path)[0].text()
    for data in ({"source": "csv", "path": "x", "task": "regression"}, {"target_columns": ["a"]}):
        with pytest.raises(PreflightError, match="target_columns name what is predicted"):
            parse_project({"name": "n", "model": {"architecture": "btc_mlp"}, "data": data}, "project.toml")


def test_a_later_row_moves_no_earlier_sample(tmp_path: Path) -> None:
    table = table_of()
    _, before = run(table, tmp_path)
    border = len(before.train.x)
    table.loc[border:, ["a", "b", "c"]] *= 1e6
    _, after = run(table, tmp_path)
    assert np.array_equal(before.train.x, after.train.x)
    assert np.array_equal(before.train.y, after.train.y)
