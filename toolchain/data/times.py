"""The time column of a table: found, read without guessing, strictly increasing, and regular where that is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from toolchain.data.columns import find_time_column
from toolchain.errors import DataSourceError

Stamps = NDArray[np.int64]

#: Nanoseconds per unit of a numeric time. 1990 … 2100 never overlap between two units, so the size tells the unit.
_UNITS = {"s": 10**9, "ms": 10**6, "µs": 10**3, "ns": 1}
_EARLIEST_S, _LATEST_S = 631_152_000, 4_102_444_800
#: Text forms: years first is read at once, the two others only when exactly one of them fits the whole column.
_SLASHED = ("%m/%d/%Y", "%d/%m/%Y")


def read_times(table: pd.DataFrame, chosen: str, where: str) -> Stamps:
    """Strictly increasing times in nanoseconds since 1970 of column ``chosen``, or of the one known time column.

    Texts are ISO 8601 dates or times (UTC where they name no zone) or slashed dates of one order; numbers are seconds,
    milliseconds, microseconds or nanoseconds since 1970. Raises DataSourceError at the first row that does not fit.
    """
    name = find_time_column([str(known) for known in table.columns], chosen, where)
    found = table[name]
    place = f"{where}: column '{name}'"
    stamps = _from_numbers(found, place) if pd.api.types.is_numeric_dtype(found) else _from_text(found, place)
    _check_order(stamps, found, place)
    return stamps


def check_regular(stamps: Stamps, where: str) -> None:
    """Raise DataSourceError when the step between two candles is not the same everywhere."""
    steps = np.diff(stamps)
    usual = int(np.median(steps))
    bad = np.flatnonzero(steps != usual)
    if not len(bad):
        return
    row = int(bad[0])
    borders = np.concatenate([[-1], bad, [len(steps)]])
    longest = int(np.argmax(np.diff(borders)))
    first, last = int(borders[longest]) + 2, int(borders[longest + 1]) + 1
    raise DataSourceError(
        f"{len(bad)} gaps; first: after row {row + 1} ({show(int(stamps[row]))}) the next candle is "
        f"{int(steps[row]) / 1e9:g} s later, not {usual / 1e9:g} s",
        where=where, hint=f"fill the gaps from the source, or keep rows {first} to {last}, the longest piece with none",
    )  # fmt: skip


def show(stamp: int) -> str:
    """A time for people: ISO 8601 in UTC, the date alone at midnight."""
    text = str(pd.Timestamp(stamp, unit="ns", tz="UTC").isoformat())
    return text.removesuffix("T00:00:00+00:00")


def _from_numbers(found: pd.Series[Any], place: str) -> Stamps:
    values = found.to_numpy()
    if values.dtype.kind == "f":
        bad = np.flatnonzero(~(np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2.0**53)))
        if len(bad):
            raise _not_a_time(found, int(bad[0]), place)
    stamps = values.astype(np.int64)
    for nanoseconds in _UNITS.values():
        per_second = 10**9 // nanoseconds
        inside = (stamps >= _EARLIEST_S * per_second) & (stamps <= _LATEST_S * per_second)
        if inside.all():
            return stamps * nanoseconds
        if inside[0]:
            raise _not_a_time(found, int(np.flatnonzero(~inside)[0]), place)
    raise _not_a_time(found, 0, place)


def _from_text(found: pd.Series[Any], place: str) -> Stamps:
    iso = _parse(found, "ISO8601")
    if not bool(iso.isna().iloc[0]):
        return _nanoseconds(iso, found, place)
    readings = [_parse(found, order) for order in _SLASHED]
    whole = [reading for reading in readings if not bool(reading.isna().any())]
    if not whole:
        missing = [np.flatnonzero(reading.isna().to_numpy()) for reading in readings]
        raise _not_a_time(found, max(int(rows[0]) for rows in missing), place)
    rising = [reading for reading in whole if reading.is_monotonic_increasing and reading.is_unique]
    if len(rising) > 1:
        raise DataSourceError(
            f"{found.iloc[0]!r} may be month/day or day/month", where=place, hint="write dates as year-month-day"
        )
    return _nanoseconds((rising or whole)[0], found, place)


def _parse(found: pd.Series[Any], form: str) -> pd.Series[Any]:
    return pd.to_datetime(found.astype("string"), format=form, errors="coerce", utc=True)


def _nanoseconds(parsed: pd.Series[Any], found: pd.Series[Any], place: str) -> Stamps:
    bad = parsed.isna().to_numpy() | ~parsed.dt.year.between(1700, 2200).to_numpy()
    if bad.any():
        raise _not_a_time(found, int(np.flatnonzero(bad)[0]), place)
    stamps = parsed.dt.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    return np.asarray(stamps, dtype=np.int64)


def _not_a_time(found: pd.Series[Any], row: int, place: str) -> DataSourceError:
    value = found.iloc[row]
    shown = "an empty cell" if pd.isna(value) else repr(value.item() if isinstance(value, np.generic) else value)
    return DataSourceError(
        f"row {row + 1}: {shown} cannot be read as a time like the rows before it", where=place,
        allowed="ISO 8601 (2024-01-31, 2024-01-31T09:30:00Z), or seconds, ms, µs or ns since 1970 (1990 to 2100)",
    )  # fmt: skip


def _check_order(stamps: Stamps, found: pd.Series[Any], place: str) -> None:
    steps = np.diff(stamps)
    bad = np.flatnonzero(steps <= 0)
    if not len(bad):
        return
    row = int(bad[0])
    if (steps < 0).all():
        raise DataSourceError("the newest row comes first", where=place, hint="reverse the rows: oldest first")
    what = "the same time as row" if steps[row] == 0 else "an earlier time than row"
    raise DataSourceError(
        f"row {row + 2} has {what} {row + 1} ({found.iloc[row + 1]} after {found.iloc[row]})", where=place,
        hint="sort the rows by time, oldest first, one row for each time",
    )  # fmt: skip
