"""A range of candles, whole: page by page, none lost, none twice, the open one left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import filelock

from toolchain.data.bybit.client import Client
from toolchain.data.bybit.journal import Journal
from toolchain.data.bybit.protocol import COLUMNS, LIMIT, Query, Row, closes, show_time, starts
from toolchain.data.tables import check_writable, write_table
from toolchain.errors import DataSourceError, ProjectError
from toolchain.results import Progress, no_progress

#: A candle that the exchange does not give is missing there after so many answers without anything new.
_ANSWERS_WITHOUT_NEWS = 3


@dataclass(frozen=True)
class Download:
    """What to fetch and where to; ``allow_gaps``: write the file although the exchange lacks candles."""

    query: Query
    out: Path
    allow_gaps: bool = False
    page_size: int = LIMIT


@dataclass(frozen=True)
class Downloaded:
    """A finished download. ``gaps`` are pairs of the first and last start (ms) missing."""

    out: Path
    candles: int
    resumed: int  # of these, from an earlier run
    first_ms: int
    last_ms: int
    gaps: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]


def download(job: Download, client: Client, progress: Progress = no_progress) -> Downloaded:
    """Fetch ``job.query`` into ``job.out`` (.parquet, .csv or .csv.gz); an interrupted run goes on where it was.

    Raises ProjectError when the file exists or another process fetches it, DataSourceError when the exchange fails or
    has gaps that are not allowed; what was fetched is kept in either case.
    """
    check_writable(job.out)
    partial = job.out.with_name(job.out.name + ".partial")
    lock = filelock.FileLock(str(partial) + ".lock", timeout=0)
    try:
        with lock:
            done = _download(job, Journal(partial, job.query), client, progress)
    except filelock.Timeout:
        raise ProjectError("another process fetches this file", where=str(job.out)) from None
    Path(lock.lock_file).unlink(missing_ok=True)
    return done


def _download(job: Download, journal: Journal, client: Client, progress: Progress) -> Downloaded:
    query = job.query
    now = client.now_ms()
    before = now if query.end_ms is None else min(query.end_ms, now)
    wanted = [start for start in starts(query.interval, query.start_ms, before) if closes(query.interval, start) <= now]
    if not wanted:
        raise DataSourceError(
            "no closed candle in this range", where=_name(query), hint=f"the exchange's time is {show_time(now)}"
        )
    resumed = len(journal.rows)
    for first in range(0, len(wanted), job.page_size):
        asked = wanted[first : first + job.page_size]
        if not journal.rows.keys() >= set(asked):
            journal.add(_page(client, query, asked))
        progress("candles", first + len(asked), len(wanted))
    return _finish(job, journal, wanted, resumed)


def _page(client: Client, query: Query, asked: list[int]) -> dict[int, Row]:
    """The closed candles of ``asked`` that exist: asked again while one is missing and answers bring something new."""
    found: dict[int, Row] = {}
    wanted, without_news = set(asked), 0
    while len(found) < len(wanted) and without_news < _ANSWERS_WITHOUT_NEWS:
        missing = [start for start in asked if start not in found]
        page, now = client.page(query, missing[0], missing[-1], len(asked))
        # Rows of other pages, and the open candle, which still changes, are not taken.
        rows = {start: page[start] for start in wanted & set(page) if closes(query.interval, start) <= now}
        for start in set(rows) & set(found):
            if rows[start] != found[start]:
                raise DataSourceError(
                    f"two answers differ in the candle of {show_time(start)}: {found[start]} and {rows[start]}",
                    where=_name(query), hint="run the same command again later",
                )  # fmt: skip
        without_news = 0 if set(rows) - set(found) else without_news + 1
        found |= rows
    return dict(sorted(found.items()))


def _finish(job: Download, journal: Journal, wanted: list[int], resumed: int) -> Downloaded:
    there = [start for start in wanted if start in journal.rows]
    if not there:
        journal.remove()
        raise DataSourceError("the exchange has no candle in this range", where=_name(job.query))
    missing = len(wanted) - len(there)
    gaps = _gaps(wanted, set(there))
    if gaps and not job.allow_gaps:
        first, last = gaps[0]
        whole = f"--start {show_time(there[0])}, or " if first == wanted[0] else ""
        raise DataSourceError(
            f"the exchange gives {missing} candles not, in {len(gaps)} gaps; first: {show_time(first)} to "
            f"{show_time(last)}",
            where=_name(job.query),
            hint=whole + "--allow-gaps, which writes the rest; or a range without a gap (the same command asks again)",
        )  # fmt: skip
    rows = [journal.rows[start] for start in there]
    columns: dict[str, list[int] | list[float]] = {COLUMNS[0]: there}
    for place, name in enumerate(COLUMNS[1:], start=1):
        columns[name] = [float(row[place]) for row in rows]
    write_table(job.out, columns, {"source": _name(job.query)})
    journal.remove()
    notes = [f"no candle from {show_time(first)} to {show_time(last)}" for first, last in gaps]
    return Downloaded(job.out, len(there), resumed, there[0], there[-1], gaps, tuple(notes))


def _gaps(wanted: list[int], there: set[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    follows = False
    for start in wanted:
        if start in there:
            follows = False
            continue
        found = [*found[:-1], (found[-1][0], start)] if follows else [*found, (start, start)]
        follows = True
    return tuple(found)


def _name(query: Query) -> str:
    return f"Bybit {query.category} {query.symbol}, interval {query.interval}"
