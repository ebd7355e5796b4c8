"""Tables of prices and ready-made samples, read and checked. Every failure names file, column and row."""

from __future__ import annotations

import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolchain.errors import DataSourceError, nearest
from toolchain.results import FloatArray

CANDLE_COLUMNS = ("open", "high", "low", "close", "volume")
TIME_COLUMNS = ("start_ms", "timestamp", "time", "date", "Date", "datetime")


def read_sp500() -> pd.DataFrame:
    """S&P 500 daily prices 1999-2018 as the ``arch`` package ships them (its import costs seconds: only read its file).

    Raises DataSourceError when the package is not installed.
    """
    try:
        file = resources.files("arch.data.sp500").joinpath("sp500.csv.gz")
    except ModuleNotFoundError:
        raise DataSourceError(
            "package 'arch' is not installed", where="[data] source", hint="pip install arch"
        ) from None
    with resources.as_file(file) as path:
        return pd.read_csv(path)


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV table, gzip-compressed or not. Raises DataSourceError."""
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise DataSourceError("no such file", where=str(path), hint="--set data.path=…") from None
    except (OSError, ValueError, EOFError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DataSourceError(f"is not a CSV table: {error}", where=str(path)) from None
    if not len(table):
        raise DataSourceError("holds no rows", where=str(path))
    return table


def column(table: pd.DataFrame, name: str, where: str) -> FloatArray:
    """One numeric column without gaps. Raises DataSourceError naming the first bad row (1 is the first after the header)."""
    if name not in table.columns:
        raise DataSourceError(
            f"has no column '{name}'", where=where, hint=nearest(name, [str(known) for known in table.columns])
        )
    numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        found = table[name].iloc[int(bad[0])]
        raise DataSourceError(
            f"{len(bad)} of {len(numbers)} values are not numbers; first: row {int(bad[0]) + 1}, found {found!r}",
            where=f"{where}: column '{name}'", hint="remove or repair these rows",
        )  # fmt: skip
    return numbers


def times(table: pd.DataFrame, where: str) -> np.ndarray:
    """Strictly increasing times in nanoseconds since 1970 (int64), from the first column of TIME_COLUMNS.

    Raises DataSourceError when there is none, or at the first row that is not later than the one before it.
    """
    names = [name for name in TIME_COLUMNS if name in table.columns]
    if not names:
        raise DataSourceError("has no time column", where=where, allowed=" or ".join(TIME_COLUMNS))
    found = table[names[0]]
    place = f"{where}: column '{names[0]}'"
    if names[0] == "start_ms":
        stamps = column(table, "start_ms", where).astype(np.int64) * 1_000_000
    else:
        parsed = pd.to_datetime(found, errors="coerce", utc=True)
        if bool(parsed.isna().any()):
            row = int(np.flatnonzero(parsed.isna().to_numpy())[0])
            raise DataSourceError(f"row {row + 1}: {found.iloc[row]!r} is not a time", where=place)
        stamps = parsed.dt.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    steps = np.diff(stamps)
    bad = np.flatnonzero(steps <= 0)
    if len(bad):
        row = int(bad[0])
        if len(bad) == len(steps):
            raise DataSourceError("the newest row comes first", where=place, hint="reverse the rows: oldest first")
        what = "the same time twice" if steps[row] == 0 else "a time earlier than the row before it"
        raise DataSourceError(
            f"row {row + 2} has {what} ({found.iloc[row + 1]})", where=place, hint="sort and clean it"
        )
    return np.asarray(stamps)


def candles(table: pd.DataFrame, where: str) -> dict[str, FloatArray]:
    """The candle columns, each candle checked: low <= open, close <= high, prices > 0, volume >= 0."""
    found = {name: column(table, name, where) for name in CANDLE_COLUMNS}
    low, high = found["low"], found["high"]
    inside = (low <= found["open"]) & (found["open"] <= high) & (low <= found["close"]) & (found["close"] <= high)
    bad = np.flatnonzero(~inside | (low <= 0) | (found["volume"] < 0))
    if len(bad):
        row = int(bad[0])
        shown = ", ".join(f"{name} {values[row]:g}" for name, values in found.items())
        raise DataSourceError(
            f"row {row + 1} is not a candle: {shown}", where=where, allowed="low <= open, close <= high"
        )
    return found


def require_regular(stamps: np.ndarray, where: str) -> None:
    """Raise DataSourceError where the step between two candles is not the usual one."""
    steps = np.diff(stamps)
    usual = int(np.median(steps))
    bad = np.flatnonzero(steps != usual)
    if len(bad):
        row = int(bad[0])
        when = pd.Timestamp(int(stamps[row]), tz="UTC")
        raise DataSourceError(
            f"{len(bad)} gaps; first: after {when} the next candle is {steps[row] / 1e9:.0f} s later, not {usual / 1e9:.0f} s",
            where=where, hint="fill the gaps from the source, or use the longest piece without one",
        )  # fmt: skip


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """``x_train, y_train, x_test, y_test`` and optionally ``x_validation, y_validation`` as float64.

    Raises DataSourceError for missing arrays, unequal lengths or shapes, NaN.
    """
    arrays = _load_arrays(path)
    needed = ("x_train", "y_train", "x_test", "y_test")
    for name in needed:
        if name not in arrays:
            raise DataSourceError(f"has no array '{name}'", where=str(path), allowed=", ".join(needed))
    clean = {}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise DataSourceError(f"array '{name}' has type {array.dtype}", where=str(path), allowed="numbers")
        clean[name] = array.astype(np.float64)
        if not np.isfinite(clean[name]).all():
            place = np.argwhere(~np.isfinite(clean[name]))[0].tolist()
            raise DataSourceError(f"array '{name}' holds NaN or infinity, first at {place}", where=str(path))
    for part in ("train", "test", "validation"):
        _check_pair(clean, part, str(path))
    return clean


def _load_arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not hasattr(arrays, "files"):
                raise DataSourceError("is a single array, not an .npz", where=str(path))
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise DataSourceError("no such file", where=str(path), hint="--set data.path=…") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataSourceError(f"cannot be read: {error}", where=str(path)) from None


def _check_pair(arrays: dict[str, np.ndarray], part: str, where: str) -> None:
    x, y = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
    if x is None and y is None and part == "validation":
        return
    if x is None or y is None or len(x) != len(y) or not len(x):
        raise DataSourceError(f"x_{part} and y_{part} must be there with equal, positive lengths", where=where)
    if x.shape[1:] != arrays["x_train"].shape[1:] or y.shape[1:] != arrays["y_train"].shape[1:]:
        raise DataSourceError(f"x_{part}, y_{part} differ in shape from the training part", where=where)
