"""Values of a table, checked: numbers without holes, prices, candles. Rows count from 1 after the header."""

from __future__ import annotations

import numpy as np
import pandas as pd

from toolchain.data.columns import CANDLE_COLUMNS, missing_column
from toolchain.errors import DataSourceError
from toolchain.results import FloatArray


def numbers(table: pd.DataFrame, name: str, where: str) -> FloatArray:
    """One numeric column as float64 ``(rows,)``. Raises DataSourceError naming the first cell that is not a number."""
    if name not in table.columns:
        raise missing_column(name, [str(known) for known in table.columns], where)
    found = table[name]
    if pd.api.types.is_bool_dtype(found):
        raise DataSourceError("holds True and False, not numbers", where=f"{where}: column '{name}'")
    values = pd.to_numeric(found, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        cell = found.iloc[int(bad[0])]
        shown = "an empty or NaN cell" if pd.isna(cell) else repr(str(cell))
        raise DataSourceError(
            f"{len(bad)} of {len(values)} values are not numbers; first: row {int(bad[0]) + 1}, found {shown}",
            where=f"{where}: column '{name}'", hint="remove or repair these rows",
        )  # fmt: skip
    return values


def prices(table: pd.DataFrame, name: str, where: str) -> FloatArray:
    """A column of positive prices ``(rows,)`` that move. Raises DataSourceError."""
    values = numbers(table, name, where)
    place = f"{where}: column '{name}'"
    bad = np.flatnonzero(values <= 0)
    if len(bad):
        row = int(bad[0])
        raise DataSourceError(f"row {row + 1}: {values[row]:g} is not a price", where=place, allowed="above 0")
    if len(values) and values.min() == values.max():
        raise DataSourceError(f"the price is {values[0]:g} in every row", where=place, hint="choose another column")
    return values


def candles(table: pd.DataFrame, where: str) -> dict[str, FloatArray]:
    """The columns open, high, low, close, volume; in every row 0 < low <= open, close <= high and volume >= 0.

    Raises DataSourceError naming the first row that is not a candle.
    """
    found = {name: numbers(table, name, where) for name in CANDLE_COLUMNS}
    low, high = found["low"], found["high"]
    good = (low > 0) & (found["volume"] >= 0)
    for name in ("open", "close"):
        good &= (low <= found[name]) & (found[name] <= high)
    bad = np.flatnonzero(~good)
    if len(bad):
        row = int(bad[0])
        shown = ", ".join(f"{name} {values[row]:g}" for name, values in found.items())
        raise DataSourceError(
            f"{len(bad)} rows are not candles; first: row {row + 1}: {shown}", where=where,
            allowed="0 < low <= open, close <= high and volume >= 0",
        )  # fmt: skip
    return found
