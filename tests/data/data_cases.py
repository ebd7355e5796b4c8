"""Small tables of made-up prices for the tests of the data stage; every one is valid until a test breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolchain.data.samples import load
from toolchain.data.stage import prepare
from toolchain.project import DataSection
from toolchain.results import DataResult, Job, Samples

START_MS = 1_743_699_900_000
STEP_MS = 300_000
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def candle_table(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """A random walk of candles, five minutes apart."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.001, rows)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = random.uniform(0, 0.1, (2, rows))
    return pd.DataFrame(
        {
            "start_ms": START_MS + STEP_MS * np.arange(rows),
            "open": opened,
            "high": np.maximum(opened, close) + spread[0],
            "low": np.minimum(opened, close) - spread[1],
            "close": close,
            "volume": random.uniform(1, 10, rows),
        }
    )


def price_table(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """A random walk of daily prices."""
    random = np.random.default_rng(seed)
    days = pd.date_range("2020-01-01", periods=rows, freq="D").strftime("%Y-%m-%d")
    return pd.DataFrame({"Date": days, "Adj Close": 100 * np.exp(np.cumsum(random.normal(0, 0.01, rows)))})


def direction_section(**changes: Any) -> DataSection:
    values: dict[str, Any] = {
        "source": "csv", "path": "candles.csv", "task": "direction", "look_back": 3, "embargo": 3, "volume_window": 5,
        "train_share": 0.5, "validation_share": 0.2,
    }  # fmt: skip
    return DataSection(**(values | changes))


def forecast_section(**changes: Any) -> DataSection:
    values: dict[str, Any] = {
        "source": "csv", "path": "prices.csv", "look_back": 4, "embargo": 4, "train_share": 0.5,
        "validation_share": 0.2,
    }  # fmt: skip
    return DataSection(**(values | changes))


def run(table: pd.DataFrame, section: DataSection, folder: Path) -> tuple[DataResult, Samples]:
    """The stage on ``table``, through its file."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / section.path, index=False)
    result = prepare(section, Job(folder, folder))
    return result, load(result)
