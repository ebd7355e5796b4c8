"""A walk over made-up candles, built for real: its figures against a recount, its page, its resumption."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import run_toolchain

PROJECT = """\
name = "walk"

[data]
source = "csv"
path = "candles.csv"
task = "direction"
look_back = 3
embargo = 3
volume_window = 5

[model]
architecture = "btc_mlp"

[train]
epochs = 1

[prune]
final_sparsity = 0.9
epochs = 1
frequency = 1

[quantize]
epochs = 1
"""


def write_candles(file: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, rows)))
    opened = np.concatenate([[100.0], close[:-1]])
    table = pd.DataFrame({"start_ms": 1_700_000_000_000 + 300_000 * np.arange(rows), "open": opened})
    table["high"], table["low"] = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    table["close"], table["volume"] = close, rng.lognormal(size=rows)
    table.to_csv(file, index=False)


@pytest.mark.slow
def test_a_walk_over_candles(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text(PROJECT)
    write_candles(tmp_path / "candles.csv", 700)
    words = ("study", "walk-forward", str(tmp_path), "--folds", "2", "--seeds", "2", "--json")
    done = run_toolchain(*words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    close = pd.read_csv(tmp_path / "candles.csv")["close"].to_numpy()
    up = close[1:] > close[:-1]
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["dense", "compressed", "majority class", "last direction", "reversal of the last direction"]
    tested = found["samples"]
    right = float(np.mean(up[-tested:] == up[-tested - 1 : -1]))
    assert rows["last direction"]["over_time"]["value"] == pytest.approx(right, abs=1e-12)
    assert rows["reversal of the last direction"]["over_time"]["value"] == pytest.approx(1 - right, abs=1e-12)
    difference = rows["dense"]["over_time"]["value"] - rows["compressed"]["over_time"]["value"]
    assert found["difference"]["value"] == pytest.approx(difference, abs=1e-12)
    pairs = sum(pair["only_dense"] - pair["only_compressed"] for pair in found["pairs"])
    assert pairs / (2 * tested) == pytest.approx(difference, abs=1e-12)
    assert found["dense_products"] / found["compressed_products"] > 5
    page = (tmp_path / "build" / "study" / "walk_forward.html").read_text()
    HTMLParser().feed(page)
    assert "://" not in page
    assert "McNemar" in page
    again = run_toolchain(*words)
    assert json.loads(again.stdout) == found
