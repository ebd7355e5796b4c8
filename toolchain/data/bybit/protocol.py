"""What Bybit's ``GET /v5/market/kline`` may be asked and what its answers mean."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from toolchain.errors import DataSourceError, ProjectError

CATEGORIES = ("spot", "linear", "inverse")
_MINUTE_MS = 60_000
_DAY_MS = 1440 * _MINUTE_MS
#: Candles of constant length; they begin at multiples of it since 1970 (UTC).
_MINUTES = (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)
_STEPS_MS = {str(minutes): minutes * _MINUTE_MS for minutes in _MINUTES} | {"D": _DAY_MS}
INTERVALS = (*_STEPS_MS, "W", "M")
#: The most candles that one answer may hold.
LIMIT = 1000
COLUMNS = ("start_ms", "open", "high", "low", "close", "volume", "turnover")
#: 1970-01-01 was a Thursday; weeks begin on Monday.
_MONDAY_MS = 4 * _DAY_MS

Row = tuple[str, ...]  # the seven cells as the exchange wrote them


class MalformedAnswerError(Exception):
    """An answer that cannot be what the exchange meant; worth asking again."""


@dataclass(frozen=True)
class Query:
    """Candles that start in ``[start_ms, end_ms)``; ``end_ms`` None: up to the newest that is closed."""

    category: str
    symbol: str
    interval: str
    start_ms: int
    end_ms: int | None = None

    def __post_init__(self) -> None:
        """Raise ProjectError for what the exchange would refuse."""
        if self.category not in CATEGORIES:
            raise ProjectError(f"unknown {self.category!r}", where="--category", allowed=", ".join(CATEGORIES))
        if self.interval not in INTERVALS:
            raise ProjectError(f"unknown {self.interval!r}", where="--interval", allowed=", ".join(INTERVALS))
        if not re.fullmatch(r"[A-Z0-9][A-Z0-9-]{1,39}", self.symbol):
            raise ProjectError(f"{self.symbol!r} is not a symbol", where="--symbol", allowed="such as BTCUSDT")
        if self.end_ms is not None and self.end_ms <= self.start_ms:
            raise ProjectError("is not after --start", where="--end")


def starts(interval: str, first_ms: int, before_ms: int) -> list[int]:
    """The start of every candle in ``[first_ms, before_ms)``, in milliseconds since 1970."""
    if interval == "M":
        return _months(first_ms, before_ms)
    step = _STEPS_MS.get(interval, 7 * _DAY_MS)
    origin = _MONDAY_MS if interval == "W" else 0
    first = -((origin - first_ms) // step) * step + origin
    return list(range(first, before_ms, step))


def closes(interval: str, start_ms: int) -> int:
    """When the candle that starts at ``start_ms`` is closed."""
    if interval == "M":
        moment = datetime.fromtimestamp(start_ms / 1000, UTC)
        year, month = divmod(moment.year * 12 + moment.month, 12)
        return round(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * 1000
    return start_ms + _STEPS_MS.get(interval, 7 * _DAY_MS)


def read_page(body: Any, query: Query) -> dict[int, Row]:
    """The candles of a successful answer by start, each once, the open one among them.

    Raises MalformedAnswerError when the answer is of another symbol, or a row is not a candle or stands twice with
    different values.
    """
    result = body.get("result")
    if not isinstance(result, dict) or not isinstance(result.get("list"), list):
        raise MalformedAnswerError("has no list of candles")
    if result.get("symbol", query.symbol) != query.symbol or result.get("category", query.category) != query.category:
        raise MalformedAnswerError(f"is about {result.get('category')} {result.get('symbol')}")
    page: dict[int, Row] = {}
    for cells in result["list"]:
        row = _row(cells, query.interval)
        if page.setdefault(int(row[0]), row) != row:
            raise MalformedAnswerError(f"has two different candles that start at {row[0]}")
    return page


def server_time(body: Any) -> int:
    """The exchange's own time in milliseconds since 1970. Raises MalformedAnswerError."""
    found = body.get("time")
    if not isinstance(found, int) or isinstance(found, bool) or found <= 0:
        raise MalformedAnswerError(f"has the time {found!r}")
    return found


def show_time(milliseconds: int) -> str:
    """For people: ISO 8601 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str, where: str) -> int:
    """A date or time of ISO 8601, UTC where it names no zone, in milliseconds since 1970. Raises ProjectError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ProjectError(
            f"{text!r} is not a time", where=where, allowed="2025-04-03, 2025-04-03T17:05 (UTC), 2025-04-03T17:05+02:00"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def refusal(code: int, message: str, where: str) -> DataSourceError:
    """The error for a ``retCode`` that asking again would not change."""
    if code == 10001:
        return DataSourceError(
            f"the exchange refuses the request: {message!r} (10001)", where=where,
            hint="check --category and --symbol: the symbol may not exist there",
        )  # fmt: skip
    if code == 10029:
        return DataSourceError(f"the exchange does not know this symbol: {message!r} (10029)", where=where)
    return DataSourceError(f"the exchange answers with code {code}: {message!r}", where=where)


def _row(cells: Any, interval: str) -> Row:
    if not isinstance(cells, list) or len(cells) != len(COLUMNS) or not all(isinstance(cell, str) for cell in cells):
        raise MalformedAnswerError(f"has a row that is not {len(COLUMNS)} strings: {str(cells)[:120]}")
    try:
        start = int(cells[0])
        opened, high, low, close, volume, turnover = (float(cell) for cell in cells[1:])
    except ValueError:
        raise MalformedAnswerError(f"has a row that holds no numbers: {cells}") from None
    good = all(map(math.isfinite, (opened, high, low, close, volume, turnover)))
    if not good or not (0 < low <= min(opened, close) and max(opened, close) <= high and min(volume, turnover) >= 0):
        raise MalformedAnswerError(f"has a row that is not a candle: {cells}")
    if starts(interval, start, start + 1) != [start]:
        raise MalformedAnswerError(f"has a candle that starts at {start}, which no candle of interval {interval} does")
    return tuple(cells)


def _months(first_ms: int, before_ms: int) -> list[int]:
    moment = datetime.fromtimestamp(first_ms / 1000, UTC)
    start = round(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000
    found = []
    while start < before_ms:
        if start >= first_ms:
            found.append(start)
        start = closes("M", start)
    return found
